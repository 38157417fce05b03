"""A picture of augmented training images: each image as it is, and as several epochs draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from trainable.atomic_files import write_once
from trainable.augment.mixing import augment_batches
from trainable.augment.streams import stream_seed
from trainable.config import TrainConfig
from trainable.data.loading import load_data
from trainable.data.source import ImageSource
from trainable.models.pretrained import resolve

EPOCHS = 7
"""Draws of every image: those of the training's first epochs."""
MIN_SIDE, MAX_SIDE = 96, 224
"""Pixels of an image in the picture; smaller ones are enlarged by whole factors."""
MARGIN = 8
LINE_HEIGHT = 16
FONT_SIZE = 13


@dataclass(frozen=True)
class _Column:
    """One pass over the images."""

    heading: str
    images: Tensor
    """`[N, C, H, W]` float32 in [0, 1]."""
    captions: list[list[str]]
    """The lines of each image's label."""


def write_preview(config: TrainConfig, path: Path, *, images: int) -> None:
    """Writes a PNG file with one row per image.

    The first column has the images as `dataset.augment: false` has them, the others what the first
    epochs of a training with the config's seed make of them. Classes take turns. Pairs that are
    mixed are pairs of the images shown.

    Args:
        config: Complete settings.
        path: The file; one that exists is replaced.
        images: Number of images, at most those of the training set.

    Raises:
        DataError: The data set is missing or cannot be loaded.
        OSError: The file cannot be written.
    """
    config = resolve(config)
    cpu = torch.device("cpu")
    source = load_data(config.dataset, cpu)
    order = _choose_images(source.train_labels, images)
    plain = load_data(config.dataset.model_copy(update={"augment": False}), cpu)
    columns = [_read_originals(plain, order)]
    columns += [_draw_epoch(config, source, order, epoch) for epoch in range(1, EPOCHS + 1)]
    picture = _draw_picture(columns)
    write_once([path], lambda file: picture.save(file, format="PNG"))


def _choose_images(labels: Tensor, count: int) -> list[int]:
    """Returns the numbers of the first images of every class, then of the second ones, etc."""
    turns: dict[int, int] = {}
    ranked = []
    for number, label in enumerate(labels.tolist()):
        turns[label] = turns.get(label, 0) + 1
        ranked.append((turns[label], label, number))
    return [number for _, _, number in sorted(ranked)[:count]]


def _read_originals(source: ImageSource, order: Sequence[int]) -> _Column:
    images, labels = next(source.train_batches(len(order), seed=0, order=order))
    captions = [_describe_label(label, source.class_names) for label in labels]
    return _Column("original", _to_colours(images, source), captions)


def _draw_epoch(
    config: TrainConfig, source: ImageSource, order: Sequence[int], epoch: int
) -> _Column:
    seed, augment = stream_seed(config.seed.value, epoch), config.augment
    batches = source.train_batches(len(order), seed=seed, augment=augment, order=order)
    images, labels = next(
        iter(augment_batches(batches, augment, source.num_classes, seed=seed, epoch=epoch))
    )
    captions = [_describe_label(label, source.class_names) for label in labels]
    return _Column(f"epoch {epoch}", _to_colours(images, source), captions)


def _describe_label(label: Tensor, names: Sequence[str]) -> list[str]:
    """Returns the class's name, or a line for each share of a soft target."""
    if label.ndim == 0:
        return [names[int(label)]]
    shares, classes = label.sort(descending=True, stable=True)
    parts = [(f"{share:.0%}", names[c]) for share, c in zip(shares, classes, strict=True) if share]
    return [parts[0][1]] if len(parts) == 1 else [f"{share} {name}" for share, name in parts]


def _to_colours(images: Tensor, source: ImageSource) -> Tensor:
    """Undoes the normalisation."""
    mean, std = (
        torch.tensor(values, dtype=torch.float32)[:, None, None]
        for values in (source.mean, source.std)
    )
    return (images * std + mean).clamp(0, 1)


def _draw_picture(columns: Sequence[_Column]) -> Image.Image:
    rows = len(columns[0].images)
    cells = [[_to_cell(image) for image in column.images] for column in columns]
    width, height = cells[0][0].size
    lines = max(len(caption) for column in columns for caption in column.captions)
    step_x, step_y = width + MARGIN, height + lines * LINE_HEIGHT + MARGIN
    size = (MARGIN + len(columns) * step_x, MARGIN + LINE_HEIGHT + rows * step_y)
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_SIZE)
    for number, column in enumerate(columns):
        left = MARGIN + number * step_x
        draw.text((left, MARGIN // 2), column.heading, "black", font)
        for row, caption in enumerate(column.captions):
            top = MARGIN + LINE_HEIGHT + row * step_y
            picture.paste(cells[number][row], (left, top))
            for line, text in enumerate(caption):
                below = top + height + line * LINE_HEIGHT
                draw.text((left, below), _fit(text, width, font), "black", font)
    return picture


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shortens a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _to_cell(image: Tensor) -> Image.Image:
    """Returns an image `[C, H, W]` in [0, 1] in the size of the picture's cells."""
    colours = image[:1].expand(3, -1, -1) if len(image) != 3 else image
    pixels = (colours * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    cell, longest = Image.fromarray(pixels), max(pixels.shape)
    if longest > MAX_SIDE:
        cell.thumbnail((MAX_SIDE, MAX_SIDE))
        return cell
    factor = max(1, -(-MIN_SIDE // longest))
    return cell.resize((cell.width * factor, cell.height * factor), Image.Resampling.NEAREST)
