"""Changes in a data set of files, or in how it is split, since a record was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from trainable.data.listing import TEST, TRAIN, VAL, ListedImage, Listing
from trainable.data.splits.record import SplitRecord

FINGERPRINT_BYTES = 16


def compute_fingerprints(
    listing: Listing, images: Mapping[str, Sequence[ListedImage]]
) -> dict[str, str]:
    """Returns the hash of the images of each split; their order does not matter."""
    fingerprints = {}
    for split, of_split in images.items():
        folder = listing.folders.get(split)
        prefix = f"{folder}/" if folder else ""
        keys = sorted(image.key.removeprefix(prefix) for image in of_split)
        data = "\n".join(keys).encode("utf-8", "surrogateescape")
        fingerprints[split] = blake2b(data, digest_size=FINGERPRINT_BYTES).hexdigest()
    return fingerprints


def changed_splits(record: SplitRecord, fingerprints: Mapping[str, str]) -> list[str]:
    """Returns the splits of a record whose images have changed, and a new validation set."""
    before = record.fingerprints
    names = [name for name, value in before.items() if fingerprints.get(name) != value]
    is_new = TRAIN in before and VAL in fingerprints.keys() - before.keys()
    return [*names, VAL] if is_new else names


def describe_change(
    root: Path, record: SplitRecord, sizes: Mapping[str, int], fingerprints: Mapping[str, str]
) -> list[str]:
    """Returns a line on how many images of each split there were and are, if that has changed."""
    changed = changed_splits(record, fingerprints)
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
        f"the images in {root} have changed since the training began: {', '.join(numbers)}; "
        "those that were there keep their side"
    ]


def describe_redraw(before: SplitRecord, after: SplitRecord) -> list[str]:
    """Returns a line on the splits that are drawn anew, or the other fold that is held out."""
    pairs: dict[str, tuple[object, object]] = {
        "val_split": (before.fraction, after.fraction),
        "folds": (before.folds, after.folds),
        "seed": (before.seed, after.seed),
        "test_split": (before.test_split, after.test_split),
    }
    if after.parts > 1 or after.test_split is not None:
        pairs["group_column"] = (before.group_column, after.group_column)
    changes = [
        f"dataset.{key} {_show(old)} -> {_show(new)}"
        for key, (old, new) in pairs.items()
        if old != new
    ]
    if changes and (before.test_split, after.test_split) != (None, None):
        return [
            f"the splits are drawn anew ({', '.join(changes)}): images that were trained may now "
            "be validated or tested"
        ]
    if changes:
        return [
            f"the validation split is drawn anew ({', '.join(changes)}): images that were trained "
            "may now be validated"
        ]
    if before.fold not in (None, after.fold):
        return [
            f"another fold is held out (dataset.fold {before.fold} -> {after.fold}): images that "
            "were trained are now validated"
        ]
    return []


def _show(value: object) -> str:
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
