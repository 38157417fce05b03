"""One look at every file of a data set, for keys whose meaning depends on all of them.

- `dataset.skip_unreadable`: which files cannot be read, so that every trial leaves out the same.
- `dataset.max_value: auto`: the largest value of grey images of more than 8 bits.

Both follow from the bytes of the files alone. The result is kept for the process and, so that the
trials of a sweep do not decode everything again, in the directory of the cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from trainable.config.sections.dataset import FileDataset
from trainable.data.image_file import (
    UNKNOWN,
    WHITE_16,
    Inspection,
    ReadRules,
    inspect_image,
    read_rules,
)
from trainable.data.listing import ListedImage, Listing
from trainable.errors import DataError

KEY_BYTES = 16
MAX_KEPT = 4
"""Data sets whose survey a process keeps."""
MAX_LISTED_FILES = 5

_surveys: dict[str, Survey] = {}


@dataclass(frozen=True)
class Survey:
    """What was seen of the files of a data set."""

    unreadable: Mapping[str, str]
    """Key of each image that cannot be read -> the reason."""
    max_value: float | None
    """Largest value of grey images of more than 8 bits; None if there are none."""


def survey_images(images: Sequence[ListedImage], rules: ReadRules) -> Survey:
    """Decodes every image, unless that was done for the same files before.

    Args:
        images: The images; each file is decoded once.
        rules: The rules that they will be read by.
    """
    key = _survey_key(images, rules)
    survey = _surveys.pop(key, None)
    if survey is None:
        survey = _decode(images, rules)
        while len(_surveys) >= MAX_KEPT:
            del _surveys[next(iter(_surveys))]
    _surveys[key] = survey
    return survey


def measure_max_value(
    dataset: FileDataset, listing: Listing, measured: float | None = None
) -> float | None:
    """Returns the largest value of deep images where `max_value` is `auto`; None elsewhere.

    Args:
        dataset: The config's `dataset` section.
        listing: All images of the data set.
        measured: The value that was measured when the training or the sweep began.
    """
    if dataset.max_value != "auto" or measured is not None:
        return measured
    images = [image for split in listing.splits.values() for image in split]
    return survey_images(images, read_rules(dataset, measured=UNKNOWN)).max_value or WHITE_16


def without_unreadable(listing: Listing, dataset: FileDataset) -> Listing:
    """Returns the listing without the images that cannot be read, which a notice then lists.

    Args:
        listing: All images of the data set.
        dataset: The section; the listing stays as it is unless `skip_unreadable` is set.

    Raises:
        DataError: A class has no image left in a split.
    """
    if not dataset.skip_unreadable:
        return listing
    images = [image for split in listing.splits.values() for image in split]
    unreadable = survey_images(images, read_rules(dataset, measured=UNKNOWN)).unreadable
    if not unreadable:
        return listing
    splits = {
        split: tuple(image for image in of_split if image.key not in unreadable)
        for split, of_split in listing.splits.items()
    }
    kept = replace(
        listing,
        splits=splits,
        left_out=[*listing.left_out, *unreadable],
        notices=[*listing.notices, describe_unreadable(unreadable, len(images))],
    )
    for split in splits:
        before, after = listing.counts(split), kept.counts(split)
        empty = [
            name
            for name, had, has in zip(listing.classes, before, after, strict=True)
            if had and not has
        ]
        if empty:
            raise DataError(
                f"no image of class {', '.join(empty)} in {listing.place(split)} can be read; "
                f"{describe_unreadable(unreadable, len(images))}"
            )
    return kept


def describe_unreadable(unreadable: Mapping[str, str], count: int) -> str:
    """Returns a line on the images that are left out.

    Args:
        unreadable: Key of each image -> the reason.
        count: Number of all images.
    """
    first = list(unreadable.items())[:MAX_LISTED_FILES]
    listed = "; ".join(f"{key}: {reason}" for key, reason in first)
    more = "; ..." if len(unreadable) > MAX_LISTED_FILES else ""
    return (
        f"{len(unreadable)} of {count} images cannot be read and are left out "
        f"(dataset.skip_unreadable): {listed}{more}"
    )


def _decode(images: Sequence[ListedImage], rules: ReadRules) -> Survey:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        inspect = partial(inspect_image, rules=rules, decodes=True)
        inspections = list(pool.map(inspect, (image.path for image in images)))
    return summarize(images, inspections)


def summarize(images: Sequence[ListedImage], inspections: Sequence[Inspection]) -> Survey:
    """Returns what inspections that have decoded all images say of them together."""
    unreadable = {
        image.key: one.damage
        for image, one in zip(images, inspections, strict=True)
        if one.damage is not None
    }
    values = [one.max_value for one in inspections if one.max_value is not None and not one.damage]
    return Survey(unreadable, max(values, default=None))


def _survey_key(images: Sequence[ListedImage], rules: ReadRules) -> str:
    """Returns a hash that is another one if a file or the rules change."""
    digest = blake2b(json.dumps(asdict(rules)).encode(), digest_size=KEY_BYTES)
    for image in images:
        try:
            info = Path(image.path).stat()
            state = f"{info.st_size} {info.st_mtime_ns}"
        except OSError as error:
            state = f"{error.errno}"
        digest.update(f"{state} {image.key} {image.path}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
