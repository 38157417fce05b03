"""A picture of augmented training images: each image as it is, and as several epochs draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from trainable.atomic_files import write_once
from trainable.augment.mixing import augment_batches
from trainable.augment.streams import stream_seed
from trainable.config import TrainConfig, without_cache
from trainable.data.loading import load_data
from trainable.data.source import ImageSource, start_epoch
from trainable.inspection.loaded import to_colours, to_image
from trainable.inspection.picture import Cell, draw_grid
from trainable.models.pretrained import resolve

EPOCHS = 7
"""Draws of every image: those of the training's first epochs."""


@dataclass(frozen=True)
class _Column:
    """One pass over the images."""

    heading: str
    images: Tensor
    """`[N, C, H, W]` float32 in [0, 1]."""
    captions: list[list[str]]
    """The lines of each image's label."""


def write_preview(
    config: TrainConfig, path: Path, *, images: int, allow_custom_model: bool = False
) -> None:
    """Writes a PNG file with one row per image.

    The first column has the images as `dataset.augment: false` has them, the others what the first
    epochs of a training with the config's seed make of them. Classes take turns. Pairs that are
    mixed are pairs of the images shown.

    Args:
        config: Complete settings.
        path: The file; one that exists is replaced.
        images: Number of images, at most those of the training set.
        allow_custom_model: Whether `dataset.name` may import a callable of the user's.

    Raises:
        DataError: The data set is missing or cannot be loaded.
        OSError: The file cannot be written.
    """
    config = resolve(config)
    cpu = torch.device("cpu")
    load = partial(load_data, device=cpu, allow_custom=allow_custom_model)
    source = load(config.dataset)
    order = _choose_images(source.train_labels, images)
    plain = load(without_cache(config).dataset.model_copy(update={"augment": False}))
    columns = [_read_originals(plain, order)]
    columns += [_draw_epoch(config, source, order, epoch) for epoch in range(1, EPOCHS + 1)]
    rows = [
        [Cell(to_image(column.images[row]), column.captions[row]) for column in columns]
        for row in range(len(order))
    ]
    picture = draw_grid(rows, [column.heading for column in columns])
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
    return _Column("original", to_colours(images, source), captions)


def _draw_epoch(
    config: TrainConfig, source: ImageSource, order: Sequence[int], epoch: int
) -> _Column:
    seed, augment = stream_seed(config.seed.value, epoch), config.augment
    start_epoch(source, epoch)
    batches = source.train_batches(len(order), seed=seed, augment=augment, order=order)
    images, labels = next(
        iter(augment_batches(batches, augment, source.num_classes, seed=seed, epoch=epoch))
    )
    captions = [_describe_label(label, source.class_names) for label in labels]
    return _Column(f"epoch {epoch}", to_colours(images, source), captions)


def _describe_label(label: Tensor, names: Sequence[str]) -> list[str]:
    """Returns the class's name, or a line for each share of a soft target."""
    if label.ndim == 0:
        return [names[int(label)]]
    shares, classes = label.sort(descending=True, stable=True)
    parts = [(f"{share:.0%}", names[c]) for share, c in zip(shares, classes, strict=True) if share]
    return [parts[0][1]] if len(parts) == 1 else [f"{share} {name}" for share, name in parts]
