"""Recognises a changed file of arrays when a training continues.

The splits of arrays go by position, so they hold for an unchanged file only.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from trainable.config import ArraysDataset
from trainable.data.listing import TEST, TRAIN, VAL, find_file
from trainable.data.splits.changes import FINGERPRINT_BYTES
from trainable.data.splits.position_record import record_by_position
from trainable.data.splits.record import SplitRecord

if TYPE_CHECKING:
    from trainable.data.arrays import ImageArrays, LabelledImages

SAMPLED_IMAGES = 64
"""Images of each split whose pixels are part of its fingerprint, besides all labels."""


def record_arrays(
    arrays: ImageArrays, dataset: ArraysDataset, saved: SplitRecord | None
) -> tuple[SplitRecord, list[str]]:
    """Returns the record of a data set, and lines on what has changed since an earlier one.

    Args:
        arrays: The data set, before a part of the training set is held out.
        dataset: The config's `dataset` section.
        saved: The record of the training that continues; None if it begins.

    Raises:
        DataError: The training images are others, so that their split would be another one.
    """
    parts = {TRAIN: arrays.train, TEST: arrays.test, VAL: arrays.val}
    images = {split: part for split, part in parts.items() if part is not None}
    return record_by_position(
        dataset,
        arrays.class_names,
        {split: len(part.labels) for split, part in images.items()},
        {split: _hash(part) for split, part in images.items()},
        place=str(find_file(dataset)),
        saved=saved,
    )


def _hash(images: LabelledImages) -> str:
    """Returns a hash of all labels and of the pixels of some images, evenly over the list."""
    count = len(images.labels)
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    digest.update(repr(images.pixels.shape).encode())
    digest.update(images.labels.tobytes())
    for index in np.unique(np.linspace(0, count - 1, min(count, SAMPLED_IMAGES)).astype(int)):
        digest.update(np.ascontiguousarray(images.pixels[index]).tobytes())
    return digest.hexdigest()
