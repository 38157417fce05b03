"""Reads every image of a data set of files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath

from PIL import Image

from trainable.config import FileDataset
from trainable.data.image_file import (
    Inspection,
    ReadRules,
    describe_treatments,
    inspect_image,
    read_image,
    read_rules,
)
from trainable.data.listing import list_images
from trainable.data.splits.divide import divide
from trainable.errors import DataError, list_first
from trainable.inspection.duplicates import MIN_SIDE, difference_hash, digest_files
from trainable.inspection.entries import Entry, Examined

MAX_LISTED_FILES = 5


def examine_files(dataset: FileDataset) -> Examined:
    """Decodes all files of a data set, and reads them a second time where two have one size.

    Args:
        dataset: The config's `dataset` section, with the preprocessing filled in.

    Raises:
        DataError: The data set is missing or its list cannot be used.
    """
    problems, rules = [], ReadRules()
    try:
        divided = divide(dataset)
    except DataError as error:
        listing = list_images(dataset)
        images = dict(listing.splits)
        problems.append(str(error))
        if dataset.max_value != "auto":
            rules = read_rules(dataset)
    else:
        listing, images = divided.listing, dict(divided.images)
        rules = read_rules(dataset, divided.record.max_value)
    listed = [(split, image) for split, of_split in images.items() for image in of_split]
    paths, threads = [image.path for _, image in listed], os.cpu_count() or 1
    inspect = partial(inspect_image, rules=rules, decodes=True, observe=_hash)
    with ThreadPoolExecutor(threads) as pool:
        inspections = list(pool.map(inspect, paths))
    digests = digest_files(paths, threads)
    entries = [
        Entry(split, image.label, image.key, *_facts(inspection), digest, inspection.observed)
        for (split, image), inspection, digest in zip(listed, inspections, digests, strict=True)
    ]
    problems += _describe_broken(entries)
    return Examined(
        listing.classes,
        entries,
        lambda position: read_image(paths[position], rules),
        [position for position, entry in enumerate(entries) if entry.damage is None],
        describe_treatments(inspections, rules),
        listing.notices,
        listing.left_out,
        problems,
        Counter(PurePosixPath(image.key).suffix.lower() for _, image in listed),
    )


def _hash(image: Image.Image) -> int | None:
    return difference_hash(image) if min(image.size) >= MIN_SIDE else None


def _facts(seen: Inspection) -> tuple[tuple[int, int] | None, str | None, str | None]:
    return seen.size, seen.mode, seen.damage


def _describe_broken(entries: Sequence[Entry]) -> list[str]:
    broken = [entry for entry in entries if entry.damage]
    if not broken:
        return []
    lines = [f"{entry.name}: {entry.damage}" for entry in broken]
    files = "1 image" if len(broken) == 1 else f"{len(broken)} images"
    return [
        f"{files} cannot be read; mend or remove them, or set dataset.skip_unreadable: true: "
        f"{list_first(lines, MAX_LISTED_FILES, '; ')}"
    ]
