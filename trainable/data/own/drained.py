"""Reads a small data set of the user's own into memory, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from trainable.config import OwnDataset
from trainable.data.loader.batches import BatchLoader
from trainable.data.own.build import OwnData
from trainable.data.own.fetching import DrawDetector, OwnItems, seeded_generators
from trainable.data.own.items import Label
from trainable.data.own.measure import ImageForm, Look
from trainable.data.own.passes import batches_of, label_from_text, label_to_text

MAX_BYTES = 2**30
"""Size of all images together up to which they are kept in memory."""


@dataclass(frozen=True)
class DrainedItems:
    """All items of a split."""

    pixels: NDArray[np.uint8]
    """`[N, H, W, C]`."""
    labels: list[Label]


def fits_in_memory(data: OwnData, look: Look, dataset: OwnDataset) -> bool:
    """Returns whether items are 8-bit images of one size that are always the same, and small."""
    form = look.form
    if look.is_random or form.is_finished or form.size is None:
        return False
    if dataset.image_size is not None and set(form.size) != {dataset.image_size}:
        return False
    count = sum(map(len, data.splits.values()))
    return count * form.size[0] * form.size[1] * form.channels <= MAX_BYTES


def drain(
    data: OwnData, form: ImageForm, dataset: OwnDataset, loader: BatchLoader
) -> Mapping[str, DrainedItems] | None:
    """Reads all items of a data set that fits in memory.

    Returns:
        The items of each split; None if one of them is random after all: it has drawn from a
        global generator.

    Raises:
        DataError: An item cannot be used, or has another size.
    """
    assert form.size is not None, "the caller has asked for `fits_in_memory`"
    shape, drained = (*form.size, form.channels), {}
    for split, items in data.splits.items():
        pixels = np.empty((len(items), *shape), dtype=np.uint8)
        labels: list[Label] = []
        fetched = _Fetched(items, form, dataset.seed)
        for images, texts, has_drawn in loader.load(
            fetched, batches_of(range(len(items))), pixels[0].nbytes
        ):
            if has_drawn.any():
                return None
            pixels[len(labels) : len(labels) + len(texts)] = images.numpy()
            labels += map(label_from_text, texts)
        drained[split] = DrainedItems(pixels, labels)
    return drained


@dataclass(frozen=True)
class _Fetched(Dataset[tuple[Tensor, str, bool]]):
    """Items of a split: the image, the label, and whether they are random."""

    items: OwnItems
    form: ImageForm
    seed: int

    def __getitem__(self, index: int) -> tuple[Tensor, str, bool]:
        with seeded_generators(self.seed, index):
            detector = DrawDetector()
            image, label = self.items.fetch(index)
            has_drawn = detector.has_drawn()
        image = self.form.fit(image, self.items.describe(index))
        return image.contiguous(), label_to_text(label), has_drawn
