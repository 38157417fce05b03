"""Divides the images of a data set of files into splits: `divide`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from trainable.config import FileDataset, ImageFolderDataset
from trainable.data.folder_scan import describe_difference, scan_folder
from trainable.data.listing import (
    TEST,
    TRAIN,
    VAL,
    ListedImage,
    Listing,
    list_images,
)
from trainable.data.splits.by_position import split_by_position
from trainable.data.splits.record import SplitRecord, image_hash
from trainable.errors import DataError

FINGERPRINT_BYTES = 16


@dataclass(frozen=True)
class DividedImages:
    """The images of a data set of files, divided into splits."""

    listing: Listing
    record: SplitRecord
    """The record by which they are divided; complete."""
    images: Mapping[str, tuple[ListedImage, ...]]
    """`train`, `test` and, if there is one, `val` -> its images."""
    changes: tuple[str, ...]
    """Lines for the user on what has changed since the record was drawn."""


def divide(dataset: FileDataset, record: SplitRecord | None = None) -> DividedImages:
    """Lists the images of a data set and divides them into splits.

    Args:
        dataset: The config's `dataset` section.
        record: The record of the training that continues; None draws one. It is drawn anew if
            `dataset.val_split` or `dataset.seed` has changed since.

    Raises:
        DataError: See `list_images`; or a class is too small to be split, or the images and the
            record do not fit.
    """
    if record is not None and record.classes and dataset.classes is None:
        dataset = dataset.model_copy(update={"classes": record.classes})
    keeps = record is not None and _has_settings(record, dataset)
    listing = _list(dataset, record, legacy=keeps and record is not None and record.by_position)
    max_value = record.max_value if record is not None else None
    if dataset.skip_unreadable or dataset.max_value == "auto":
        from trainable.data.survey import measure_max_value, without_unreadable  # Pillow

        listing = without_unreadable(listing, dataset)
        max_value = measure_max_value(dataset, listing, max_value)
    changes: list[str] = []
    if record is not None and record.classes and len(record.classes) != len(listing.classes):
        difference = describe_difference(record.classes, listing.classes)
        raise DataError(f"the training has other classes than {listing.root}: {difference}")
    if record is None or not keeps:
        changes += [] if record is None else [_describe_redraw(record, dataset)]
        record = draw_record(listing, seed=dataset.seed, fraction=dataset.val_split)
    record = replace(record, classes=record.classes or listing.classes, max_value=max_value)
    images = dict(listing.splits)
    if record.fraction is not None:
        images[TRAIN], images[VAL] = hold_out(listing, record)
    sizes = {split: len(of_split) for split, of_split in images.items()}
    if record.fingerprints:
        changes += _describe_change(listing, record, sizes)
    else:
        record = replace(record, sizes=sizes, fingerprints=_fingerprints(listing))
    return DividedImages(listing, record, images, tuple(changes))


def _list(dataset: FileDataset, record: SplitRecord | None, *, legacy: bool) -> Listing:
    """Lists the images with the keys that they had when the record was drawn."""
    key_classes = record.classes if record is not None else ()
    if isinstance(dataset, ImageFolderDataset):
        return scan_folder(dataset, key_classes=key_classes, legacy=legacy)
    return list_images(dataset)


def _has_settings(record: SplitRecord, dataset: FileDataset) -> bool:
    return (record.fraction, record.seed) == (dataset.val_split, dataset.seed) or (
        record.fraction is dataset.val_split is None
    )


def draw_record(listing: Listing, *, seed: int, fraction: float | None) -> SplitRecord:
    """Draws which training images are held out, the same share of every class.

    Raises:
        DataError: A class has a single image.
    """
    record = SplitRecord(seed, fraction, listing.classes)
    if record.fraction is None:
        return record
    hashes: list[list[int]] = [[] for _ in listing.classes]
    for image in listing.splits[TRAIN]:
        hashes[image.label].append(image_hash(image.key, seed))
    return replace(
        record,
        cuts=tuple(
            _find_cut(sorted(of_class), record.fraction, name)
            for of_class, name in zip(hashes, listing.classes, strict=True)
        ),
    )


def _find_cut(hashes: list[int], fraction: float, name: str) -> int:
    """Returns the middle between the largest hash that is held out and the next one."""
    if len(hashes) < 2:
        raise DataError(
            f"dataset.val_split needs at least 2 images of every class, found 1 of class {name}"
        )
    count = min(max(1, round(fraction * len(hashes))), len(hashes) - 1)
    return (hashes[count - 1] + hashes[count] + 1) // 2


def hold_out(
    listing: Listing, record: SplitRecord
) -> tuple[tuple[ListedImage, ...], tuple[ListedImage, ...]]:
    """Returns the training images that are trained, and those that are held out.

    Raises:
        DataError: A class has no image on one of the sides, or the list has changed and the split
            goes by position.
    """
    if record.by_position:
        return _hold_out_by_position(listing, record)
    trained: list[ListedImage] = []
    held_out: list[ListedImage] = []
    for image in listing.splits[TRAIN]:
        is_held_out = image_hash(image.key, record.seed) < record.cuts[image.label]
        (held_out if is_held_out else trained).append(image)
    for side, kind in ((trained, "training"), (held_out, "validation")):
        labels = {image.label for image in side}
        empty = [name for label, name in enumerate(listing.classes) if label not in labels]
        if empty:
            raise DataError(
                f"no {kind} image is left of class {', '.join(empty)} in {listing.place(TRAIN)}: "
                "images keep the side that they had at the beginning; put the files back, add "
                "others, or begin anew without the checkpoint"
            )
    return tuple(trained), tuple(held_out)


def _hold_out_by_position(
    listing: Listing, record: SplitRecord
) -> tuple[tuple[ListedImage, ...], tuple[ListedImage, ...]]:
    assert record.fraction is not None
    images = listing.splits[TRAIN]
    if record.fingerprints and TRAIN in _changed_splits(listing, record):
        raise DataError(
            f"the images in {listing.root} have changed since this training was resumed, and its "
            "validation split holds for an unchanged list only, as it was begun by an older "
            "version: put the files back, or begin anew without the old checkpoint"
        )
    labels = np.asarray([image.label for image in images], dtype=np.int64)
    trained, held_out = split_by_position(
        labels, record.fraction, seed=record.seed, names=listing.classes
    )
    return tuple(images[i] for i in trained), tuple(images[i] for i in held_out)


def _fingerprints(listing: Listing) -> dict[str, str]:
    """Returns the hash of the images of each split; their order does not matter."""
    fingerprints = {}
    for split, images in listing.splits.items():
        folder = listing.folders.get(split)
        keys = sorted(image.key.removeprefix(f"{folder}/") for image in images)
        data = "\n".join(keys).encode("utf-8", "surrogateescape")
        fingerprints[split] = blake2b(data, digest_size=FINGERPRINT_BYTES).hexdigest()
    return fingerprints


def _changed_splits(listing: Listing, record: SplitRecord) -> list[str]:
    """Returns the splits of the record whose images have changed, and a new validation set."""
    present = _fingerprints(listing)
    names = [name for name, before in record.fingerprints.items() if present.get(name) != before]
    is_new = TRAIN in record.fingerprints and VAL in present.keys() - record.fingerprints.keys()
    return [*names, VAL] if is_new else names


def _describe_change(listing: Listing, record: SplitRecord, sizes: Mapping[str, int]) -> list[str]:
    """Returns a line on how many images of each split there were and are, if that has changed."""
    changed = _changed_splits(listing, record)
    if record.fraction is not None and TRAIN in changed:
        changed.append(VAL)
    numbers = [
        f"{split} {record.sizes.get(split, 0)} -> {sizes.get(split, 0)}"
        for split in (TRAIN, VAL, TEST)
        if split in changed
    ]
    if not numbers:
        return []
    return [
        f"the images in {listing.root} have changed since the training began: "
        f"{', '.join(numbers)}; those that were there keep their side"
    ]


def _describe_redraw(record: SplitRecord, dataset: FileDataset) -> str:
    return (
        f"the validation split is drawn anew (dataset.val_split {_show(record.fraction)} -> "
        f"{_show(dataset.val_split)}, dataset.seed {record.seed} -> {dataset.seed}): images that "
        "were trained may now be validated"
    )


def _show(fraction: float | None) -> str:
    return "null" if fraction is None else f"{fraction:g}"
