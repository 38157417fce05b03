"""The validation split of an image folder: drawn once, recorded, and read ever after.

The record goes with the training: in the `.pt` file and, for a sweep, in its directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from trainable.config import ImageFolderDataset
from trainable.data.folder_scan import (
    TEST,
    TRAIN,
    VAL,
    FolderScan,
    ImageFile,
    describe_difference,
    normalize_path,
    scan_folder,
)
from trainable.data.split import split_by_position
from trainable.errors import DataError

HASH_BYTES = 8
FINGERPRINT_BYTES = 16


@dataclass(frozen=True)
class SplitRecord:
    """Decides which images of `root/train` are held out, whatever files are added or removed.

    Every image has a hash of its path and the seed. When the record is drawn, the images with the
    smallest hashes of a class are held out, `round(fraction * n)` of n and at least one on each
    side. The record keeps the *cut* between these and the others. From then on an image is held
    out if its hash is below its class's cut: no image ever changes its side, and new ones are
    held out with about the same probability.

    A record `by_position` stands for a training from before there were records. Its split is that
    of `split_by_position`, which holds only for an unchanged list.
    """

    seed: int
    """`dataset.seed`."""
    fraction: float | None
    """`dataset.val_split`; None if no images of `root/train` are held out."""
    classes: tuple[str, ...] = ()
    """Class names in label order; they are part of the hashed paths."""
    cuts: tuple[int, ...] = ()
    """One number in [0, 2^64) per class; empty without a fraction."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split when the record was drawn; empty if that is not known."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Hash of the sorted paths of the images in each folder at that time."""
    by_position: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as they are stored."""
        return {**asdict(self), "classes": list(self.classes), "cuts": list(self.cuts)}

    def of_test_set(self) -> SplitRecord:
        """Returns the part of the record that matters to an evaluation on the test set."""
        tested = {name: value for name, value in self.fingerprints.items() if name == TEST}
        return replace(self, fraction=None, cuts=(), fingerprints=tested)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitRecord:
        """Reads what `to_dict` has returned.

        Raises:
            LookupError, TypeError, ValueError: The values are others.
        """
        record = cls(**{**data, "classes": tuple(data["classes"]), "cuts": tuple(data["cuts"])})
        kinds = {
            int: (record.seed, *record.cuts, *record.sizes.values()),
            str: (*record.classes, *record.fingerprints.values()),
            bool: (record.by_position,),
            float | int | None: (record.fraction,),
        }
        for kind, values in kinds.items():
            for value in values:
                if not isinstance(value, kind):
                    raise TypeError(f"{value!r} is of a wrong type")
        return record


@dataclass(frozen=True)
class FolderSplit:
    """The images of a folder, divided into splits."""

    scan: FolderScan
    record: SplitRecord
    """The record by which they are divided; complete."""
    images: Mapping[str, tuple[str, ...]]
    """Split -> paths of its images."""
    labels: Mapping[str, tuple[int, ...]]
    """Split -> label of each image."""
    changes: tuple[str, ...]
    """Lines for the user on what has changed since the record was drawn."""


def split_folder(dataset: ImageFolderDataset, record: SplitRecord | None = None) -> FolderSplit:
    """Lists the images of a data set and divides them into splits.

    Args:
        dataset: The config's `dataset` section.
        record: The record of the training that continues; None draws one. It is drawn anew if
            `dataset.val_split` or `dataset.seed` has changed since.

    Raises:
        DataError: See `scan_folder`; or a class is too small to be split, or the folder and the
            record do not fit.
    """
    if record is not None and record.classes and dataset.classes is None:
        dataset = dataset.model_copy(update={"classes": record.classes})
    keeps = record is not None and _has_settings(record, dataset)
    scan = scan_folder(dataset, legacy=keeps and record is not None and record.by_position)
    changes: list[str] = []
    if record is not None and record.classes and len(record.classes) != len(scan.classes):
        difference = describe_difference(record.classes, scan.classes)
        raise DataError(f"the training has other classes than {scan.root}: {difference}")
    if record is None or not keeps:
        changes += [] if record is None else [_describe_redraw(record, dataset)]
        record = draw_record(scan, seed=dataset.seed, fraction=dataset.val_split)
    record = replace(record, classes=record.classes or scan.classes)
    splits = {split: list(files.images) for split, files in scan.splits.items()}
    if record.fraction is not None:
        splits[TRAIN], splits[VAL] = hold_out(scan, record)
    sizes = {split: len(images) for split, images in splits.items()}
    if record.fingerprints:
        changes += _describe_change(scan, record, sizes)
    else:
        record = replace(record, sizes=sizes, fingerprints=_fingerprints(scan, record.classes))
    folders = {split: scan.splits[split if split in scan.splits else TRAIN] for split in splits}
    return FolderSplit(
        scan,
        record,
        {split: tuple(map(folders[split].path, images)) for split, images in splits.items()},
        {split: tuple(image.label for image in images) for split, images in splits.items()},
        tuple(changes),
    )


def image_hash(path: str, seed: int) -> int:
    """Returns the hash of an image, a number in [0, 2^64) that is the same on every machine.

    Args:
        path: Path below `dataset.root`, e.g. `train/cat/1.png`.
        seed: `dataset.seed`.
    """
    data = normalize_path(path).encode("utf-8", "surrogateescape")
    key = seed.to_bytes(HASH_BYTES, "big")
    return int.from_bytes(blake2b(data, digest_size=HASH_BYTES, key=key).digest(), "big")


def _has_settings(record: SplitRecord, dataset: ImageFolderDataset) -> bool:
    return (record.fraction, record.seed) == (dataset.val_split, dataset.seed) or (
        record.fraction is dataset.val_split is None
    )


def draw_record(scan: FolderScan, *, seed: int, fraction: float | None) -> SplitRecord:
    """Draws which images of `root/train` are held out, the same share of every class.

    Raises:
        DataError: A class has a single image.
    """
    record = SplitRecord(seed, fraction, scan.classes)
    if record.fraction is None:
        return record
    hashes: list[list[int]] = [[] for _ in scan.classes]
    for image in scan.splits[TRAIN].images:
        hashes[image.label].append(_hash(image, record))
    return replace(
        record,
        cuts=tuple(
            _find_cut(sorted(of_class), record.fraction, name)
            for of_class, name in zip(hashes, scan.classes, strict=True)
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


def hold_out(scan: FolderScan, record: SplitRecord) -> tuple[list[ImageFile], list[ImageFile]]:
    """Returns the images of `root/train` that are trained, and those that are held out.

    Raises:
        DataError: A class has no image on one of the sides, or the list has changed and the split
            goes by position.
    """
    images = scan.splits[TRAIN].images
    if record.by_position:
        return _hold_out_by_position(scan, record)
    trained: list[ImageFile] = []
    held_out: list[ImageFile] = []
    for image in images:
        is_held_out = _hash(image, record) < record.cuts[image.label]
        (held_out if is_held_out else trained).append(image)
    for side, kind in ((trained, "training"), (held_out, "validation")):
        labels = {image.label for image in side}
        empty = [name for label, name in enumerate(scan.classes) if label not in labels]
        if empty:
            raise DataError(
                f"no {kind} image is left of class {', '.join(empty)} in "
                f"{scan.splits[TRAIN].folder}: images keep the side that they had at the "
                "beginning; put the files back, add others, or begin anew without the checkpoint"
            )
    return trained, held_out


def _hold_out_by_position(
    scan: FolderScan, record: SplitRecord
) -> tuple[list[ImageFile], list[ImageFile]]:
    assert record.fraction is not None
    images = scan.splits[TRAIN].images
    if record.fingerprints and TRAIN in _changed_folders(scan, record):
        raise DataError(
            f"the images in {scan.root} have changed since this training was resumed, and its "
            "validation split holds for an unchanged list only, as it was begun by an older "
            "version: put the files back, or begin anew without the old checkpoint"
        )
    labels = np.asarray([image.label for image in images], dtype=np.int64)
    trained, held_out = split_by_position(
        labels, record.fraction, seed=record.seed, names=scan.classes
    )
    return [images[i] for i in trained], [images[i] for i in held_out]


def _hash(image: ImageFile, record: SplitRecord) -> int:
    return image_hash(f"{TRAIN}/{record.classes[image.label]}/{image.name}", record.seed)


def _fingerprints(scan: FolderScan, classes: tuple[str, ...]) -> dict[str, str]:
    """Returns the hash of the images of each folder; their order does not matter."""
    fingerprints = {}
    for split, files in scan.splits.items():
        paths = sorted(normalize_path(f"{classes[i.label]}/{i.name}") for i in files.images)
        data = "\n".join(paths).encode("utf-8", "surrogateescape")
        fingerprints[split] = blake2b(data, digest_size=FINGERPRINT_BYTES).hexdigest()
    return fingerprints


def _changed_folders(scan: FolderScan, record: SplitRecord) -> list[str]:
    """Returns the folders of the record whose images have changed, and a new validation folder."""
    present = _fingerprints(scan, record.classes)
    names = [name for name, before in record.fingerprints.items() if present.get(name) != before]
    is_new = TRAIN in record.fingerprints and VAL in present.keys() - record.fingerprints.keys()
    return [*names, VAL] if is_new else names


def _describe_change(scan: FolderScan, record: SplitRecord, sizes: Mapping[str, int]) -> list[str]:
    """Returns a line on how many images of each split there were and are, if that has changed."""
    changed = _changed_folders(scan, record)
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
        f"the images in {scan.root} have changed since the training began: {', '.join(numbers)}; "
        "those that were there keep their side"
    ]


def _describe_redraw(record: SplitRecord, dataset: ImageFolderDataset) -> str:
    return (
        f"the validation split is drawn anew (dataset.val_split {_show(record.fraction)} -> "
        f"{_show(dataset.val_split)}, dataset.seed {record.seed} -> {dataset.seed}): images that "
        "were trained may now be validated"
    )


def _show(fraction: float | None) -> str:
    return "null" if fraction is None else f"{fraction:g}"
