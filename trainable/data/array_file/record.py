"""Recognises a changed file of arrays when a training continues.

The splits of arrays go by position, so they hold for an unchanged file only.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from trainable.config import ArraysDataset
from trainable.data.listing import TEST, TRAIN, VAL, find_file
from trainable.data.splits.changes import FINGERPRINT_BYTES, describe_redraw
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

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
    record = SplitRecord(
        dataset.seed,
        dataset.val_split,
        classes=arrays.class_names,
        sizes={split: len(part.labels) for split, part in images.items()},
        fingerprints={split: _hash(part) for split, part in images.items()},
        by_position=True,
        folds=dataset.folds,
        fold=None if dataset.folds is None else dataset.fold,
        test_split=dataset.test_split,
    )
    if saved is None:
        return record, []
    redrawn = describe_redraw(saved, record)
    changed = {
        split: f"{split} {saved.sizes.get(split, 0)} -> {record.sizes.get(split, 0)} images"
        for split, before in saved.fingerprints.items()
        if record.fingerprints.get(split) != before
    }
    if not changed:
        return record, redrawn
    text = f"the images in {find_file(dataset)} have changed since the training began"
    is_divided = record.parts > 1 or record.test_split is not None
    if is_divided and not redrawn and TRAIN in changed:
        raise DataError(
            f"{text} ({', '.join(changed.values())}), and its splits go by position: put the file "
            "back, or begin anew without the checkpoint"
        )
    return record, [*redrawn, f"{text}: {', '.join(changed.values())}"]


def _hash(images: LabelledImages) -> str:
    """Returns a hash of all labels and of the pixels of some images, evenly over the list."""
    count = len(images.labels)
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    digest.update(repr(images.pixels.shape).encode())
    digest.update(images.labels.tobytes())
    for index in np.unique(np.linspace(0, count - 1, min(count, SAMPLED_IMAGES)).astype(int)):
        digest.update(np.ascontiguousarray(images.pixels[index]).tobytes())
    return digest.hexdigest()
