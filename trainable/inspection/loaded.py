"""Reads every image of a data set that is no list of files, as a training gets it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import torch
from PIL import Image
from torch import Tensor

from trainable.data.source import Batch, ImageSource, Split
from trainable.inspection.duplicates import DIGEST_BYTES, MIN_SIDE, difference_hash
from trainable.inspection.entries import Entry, Examined

BATCH_SIZES = (256, 255, 254)
"""The first that leaves no last batch of a single image, which a pass would leave out."""
MODES = {1: "grey", 3: "RGB", 4: "RGBA"}
"""Number of channels -> what it is called."""


def examine_source(source: ImageSource, *, most_opened: int) -> Examined:
    """Reads all images of a source that does not augment them.

    Args:
        source: The data set, loaded with `dataset.augment: false`.
        most_opened: Images of each class and split that are kept for a picture.
    """
    entries: list[Entry] = []
    opened: dict[int, Image.Image] = {}
    taken: dict[tuple[str, int], int] = {}
    for split in ("train", "val", "test"):
        if split == "val" and not source.has_val:
            continue
        number = 0
        for images, labels in _read(source, split):
            colours = to_colours(images, source)
            for row, label in enumerate(labels.tolist()):
                picture, turn = to_image(colours[row]), taken.get((split, label), 0)
                taken[split, label] = turn + 1
                if turn < most_opened:
                    opened[len(entries)] = picture
                entries.append(_examine(images[row], picture, split, label, number))
                number += 1
    return Examined(
        source.class_names, entries, opened.__getitem__, opened, notices=source.notices
    )


def to_colours(images: Tensor, source: ImageSource) -> Tensor:
    """Undoes the normalisation: `[B, C, H, W]` in [0, 1]."""
    mean, std = (
        torch.tensor(values, dtype=torch.float32)[:, None, None]
        for values in (source.mean, source.std)
    )
    return (images * std + mean).clamp(0, 1)


def to_image(pixels: Tensor) -> Image.Image:
    """Returns an image `[C, H, W]` in [0, 1] in colours; other than three channels are grey."""
    colours = pixels[:1].expand(3, -1, -1) if len(pixels) != 3 else pixels
    values = (colours * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(values)


def _read(source: ImageSource, split: Split) -> Iterator[Batch]:
    """Yields the images of a split in order."""
    if split != "train":
        yield from source.eval_batches(split, BATCH_SIZES[0])
        return
    count = source.size("train")
    size = next((size for size in BATCH_SIZES if count % size != 1), BATCH_SIZES[0])
    yield from source.train_batches(size, seed=0, order=range(count))


def _examine(pixels: Tensor, picture: Image.Image, split: str, label: int, number: int) -> Entry:
    channels, height, width = pixels.shape
    content = pixels.contiguous().numpy().tobytes()
    return Entry(
        split,
        label,
        f"{split} {number}",
        (width, height),
        MODES.get(channels, f"{channels} channels"),
        digest=blake2b(content, digest_size=DIGEST_BYTES).digest(),
        near_hash=difference_hash(picture) if min(height, width) >= MIN_SIDE else None,
    )
