"""Recognises data whose splits go by position and that have changed when a training continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainable.config import ArraysDataset, OwnDataset
from trainable.data.listing import TRAIN
from trainable.data.splits.changes import describe_redraw
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError


def record_by_position(
    dataset: ArraysDataset | OwnDataset,
    classes: Sequence[str],
    sizes: Mapping[str, int],
    fingerprints: Mapping[str, str],
    *,
    place: str,
    saved: SplitRecord | None,
) -> tuple[SplitRecord, list[str]]:
    """Returns the record of a data set, and lines on what has changed since an earlier one.

    Args:
        dataset: The config's `dataset` section.
        classes: Class names in label order.
        sizes: Number of images of each split, before a part is held out.
        fingerprints: Hash of the images and labels of each of these splits.
        place: Where the images are from, for messages.
        saved: The record of the training that continues; None if it begins.

    Raises:
        DataError: The training images are others, so that their split would be another one.
    """
    record = SplitRecord(
        dataset.seed,
        dataset.val_split,
        classes=tuple(classes),
        sizes=sizes,
        fingerprints=fingerprints,
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
    text = f"the images in {place} have changed since the training began"
    is_divided = record.parts > 1 or record.test_split is not None
    if is_divided and not redrawn and TRAIN in changed:
        raise DataError(
            f"{text} ({', '.join(changed.values())}), and its splits go by position: put them "
            "back, or begin anew without the checkpoint"
        )
    return record, [*redrawn, f"{text}: {', '.join(changed.values())}"]
