"""Divides the images of a data set of files into splits: `divide`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from trainable.config import FileDataset, ImageFolderDataset, TableDataset
from trainable.data.class_names import describe_difference
from trainable.data.folder_scan import scan_folder
from trainable.data.listing import TEST, TRAIN, VAL, ListedImage, Listing, list_images
from trainable.data.splits.by_position import split_by_position
from trainable.data.splits.changes import (
    changed_splits,
    compute_fingerprints,
    describe_change,
    describe_redraw,
)
from trainable.data.splits.drawing import (
    draw_cuts,
    draw_groups,
    draw_test_cuts,
    draw_test_groups,
)
from trainable.data.splits.groups import check_groups, describe_groups
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

Images = tuple[ListedImage, ...]


@dataclass(frozen=True)
class DividedImages:
    """The images of a data set of files, divided into splits."""

    listing: Listing
    record: SplitRecord
    """The record by which they are divided; complete."""
    images: Mapping[str, Images]
    """`train`, `test` and, if there is one, `val` -> its images."""
    changes: tuple[str, ...]
    """Lines for the user on what has changed since the record was drawn."""


def divide(dataset: FileDataset, record: SplitRecord | None = None) -> DividedImages:
    """Lists the images of a data set and divides them into splits.

    Args:
        dataset: The config's `dataset` section.
        record: The record of the training that continues; None draws one. What the config asks for
            otherwise than the record is drawn anew.

    Raises:
        DataError: See `list_images`; or a class is too small to be split, or the images and the
            record do not fit.
    """
    if record is not None and record.classes and dataset.classes is None:
        dataset = dataset.model_copy(update={"classes": record.classes})
    listing = _list(dataset, record)
    max_value = None if record is None else record.max_value
    if dataset.skip_unreadable or dataset.max_value == "auto":
        from trainable.data.survey import apply_survey  # Pillow

        listing, max_value = apply_survey(dataset, listing, max_value)
    if record is not None and record.classes and len(record.classes) != len(listing.classes):
        difference = describe_difference(record.classes, listing.classes)
        raise DataError(f"the training has other classes than {listing.root}: {difference}")
    check_test_set(dataset, listing)
    before, record = record, draw_record(dataset, listing, record)
    record = replace(record, max_value=max_value)
    images, fingerprints = apply_record(listing, record)
    sizes = {split: len(of_split) for split, of_split in images.items()}
    if record.folds is not None:
        sizes[TRAIN] += sizes.pop(VAL)
    changes = [] if before is None else describe_redraw(before, record)
    if record.fingerprints:
        changes += describe_change(listing.root, record, sizes, fingerprints)
    else:
        record = replace(record, sizes=sizes, fingerprints=fingerprints)
    if record.group_column is not None:
        listing.notices += describe_groups(record.group_column, images)
    return DividedImages(listing, record, images, tuple(changes))


def _list(dataset: FileDataset, record: SplitRecord | None) -> Listing:
    """Lists the images with the keys that they had when the record was drawn."""
    if record is None or not isinstance(dataset, ImageFolderDataset):
        return list_images(dataset)
    legacy = record.by_position and _holds_out_alike(record, dataset)
    return scan_folder(dataset, key_classes=record.classes, legacy=legacy)


def group_column(dataset: FileDataset) -> str | None:
    """Returns the column of the groups that stay together, if there is one."""
    return dataset.group_column if isinstance(dataset, TableDataset) else None


def draw_record(
    dataset: FileDataset, listing: Listing, record: SplitRecord | None = None
) -> SplitRecord:
    """Draws a record.

    Args:
        dataset: The config's `dataset` section.
        listing: Its images.
        record: An earlier record. What it has in common with the config stays.

    Raises:
        DataError: A class has too few images or groups, or the data have a group in two splits.
    """
    column = group_column(dataset)
    if column is not None:
        check_groups(column, listing)
    keeps_test = record is not None and _tests_alike(record, dataset)
    keeps_all = keeps_test and record is not None and _holds_out_alike(record, dataset)
    new = record or SplitRecord(dataset.seed, None)
    if not keeps_all:
        new = replace(new, sizes={}, fingerprints={}, by_position=False)
    new = replace(new, classes=new.classes or listing.classes, group_column=column)
    if not keeps_test:
        new = _draw_test(new, listing, dataset.test_split)
    if not keeps_all:
        new = _draw_held_out(new, listing, dataset)
    return replace(new, fold=None if dataset.folds is None else dataset.fold)


def check_test_set(dataset: FileDataset, listing: Listing) -> None:
    """Checks that there is one test set: images of its own, or a share of the others.

    Raises:
        DataError: There is none, or there are both.
    """
    has_test = TEST in listing.splits
    if not has_test and dataset.test_split is None:
        raise DataError(
            "dataset.test_split must be set, e.g. to 0.2, because there is no test image in "
            f"{listing.root}"
        )
    if has_test and dataset.test_split is not None:
        raise DataError(
            "dataset.test_split must be null, because there are test images in "
            f"{listing.place(TEST)}, found {dataset.test_split:g}"
        )


def _tests_alike(record: SplitRecord, dataset: FileDataset) -> bool:
    """Returns whether a record has the test set that a config asks for."""
    if dataset.test_split is None:
        return record.test_split is None
    settings = dataset.test_split, group_column(dataset)
    return (record.test_split, record.group_column) == settings


def _holds_out_alike(record: SplitRecord, dataset: FileDataset) -> bool:
    """Returns whether a record holds out the images that a config asks for."""
    if dataset.val_split is dataset.folds is None:
        return record.fraction is record.folds is None
    settings = dataset.val_split, dataset.folds, dataset.seed, group_column(dataset)
    return (record.fraction, record.folds, record.seed, record.group_column) == settings


def _draw_test(record: SplitRecord, listing: Listing, share: float | None) -> SplitRecord:
    record = replace(record, test_split=share, test_cuts=(), test_groups={})
    images = listing.splits[TRAIN]
    if share is None:
        return record
    if record.group_column is None:
        return replace(record, test_cuts=draw_test_cuts(images, listing.classes, share))
    parts = draw_test_groups(images, listing.classes, record.group_column, share)
    groups = {
        name: part for name, part in parts.items() if record.test_part_of_group(name) != part
    }
    return replace(record, test_groups=groups)


def _draw_held_out(record: SplitRecord, listing: Listing, dataset: FileDataset) -> SplitRecord:
    record = replace(
        record,
        seed=dataset.seed,
        fraction=dataset.val_split,
        folds=dataset.folds,
        cuts=(),
        groups={},
    )
    if record.parts == 1:
        return record
    images = [image for image in listing.splits[TRAIN] if not record.is_tested(image)]
    if record.group_column is None:
        return replace(record, cuts=draw_cuts(images, listing.classes, record))
    parts = draw_groups(images, listing.classes, record)
    groups = {name: part for name, part in parts.items() if record.part_of_group(name) != part}
    return replace(record, groups=groups)


def apply_record(
    listing: Listing, record: SplitRecord
) -> tuple[dict[str, Images], dict[str, str]]:
    """Divides listed images by a complete record.

    Returns:
        Split -> its images, and the present fingerprints; see `SplitRecord`.

    Raises:
        DataError: A class has no image in one of the splits, or the list has changed and the split
            goes by position.
    """
    images = dict(listing.splits)
    if record.test_split is not None:
        tested = [record.is_tested(image) for image in images[TRAIN]]
        images[TRAIN], images[TEST] = _divide(images[TRAIN], tested)
        _check_sides(listing, images, {TEST: "test", TRAIN: "training"})
    fingerprints = compute_fingerprints(listing, images)
    if record.parts == 1:
        return images, fingerprints
    if record.by_position:
        if record.fingerprints and TRAIN in changed_splits(record, fingerprints):
            raise DataError(
                f"the images in {listing.root} have changed since this training was resumed, and "
                "its validation split holds for an unchanged list only, as it was begun by an "
                "older version: put the files back, or begin anew without the old checkpoint"
            )
        images[TRAIN], images[VAL] = _hold_out_by_position(images[TRAIN], listing, record)
        return images, fingerprints
    part = record.fold or 0
    held_out = [record.part_of(image) == part for image in images[TRAIN]]
    images[TRAIN], images[VAL] = _divide(images[TRAIN], held_out)
    _check_sides(listing, images, {TRAIN: "training", VAL: "validation"})
    return images, fingerprints


def _divide(images: Images, chosen: list[bool]) -> tuple[Images, Images]:
    """Returns the images that are not chosen and those that are."""
    pairs = list(zip(images, chosen, strict=True))
    return (
        tuple(image for image, is_chosen in pairs if not is_chosen),
        tuple(image for image, is_chosen in pairs if is_chosen),
    )


def _check_sides(listing: Listing, images: Mapping[str, Images], kinds: Mapping[str, str]) -> None:
    """Checks that every class has images in these splits."""
    for split, kind in kinds.items():
        labels = {image.label for image in images[split]}
        empty = [name for label, name in enumerate(listing.classes) if label not in labels]
        if empty:
            raise DataError(
                f"no {kind} image is left of class {', '.join(empty)} in {listing.place(TRAIN)}: "
                "images keep the side that they had at the beginning; put the files back, add "
                "others, or begin anew without the checkpoint"
            )


def _hold_out_by_position(
    images: Images, listing: Listing, record: SplitRecord
) -> tuple[Images, Images]:
    assert record.fraction is not None
    labels = np.asarray([image.label for image in images], dtype=np.int64)
    trained, held_out = split_by_position(
        labels, record.fraction, seed=record.seed, names=listing.classes
    )
    return tuple(images[i] for i in trained), tuple(images[i] for i in held_out)
