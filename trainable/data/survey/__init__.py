"""One look at every file of a data set, for keys whose meaning depends on all of them.

- `dataset.skip_unreadable`: which files cannot be read, so that every trial leaves out the same.
- `dataset.max_value: auto`: the largest value of grey images of more than 8 bits.

Both follow from the bytes of the files alone. The result is kept for the process and, so that the
trials of a sweep do not decode everything again, in the folder of the caches, once there is one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from trainable.atomic_files import write_text
from trainable.config.sections.dataset import FileDataset
from trainable.data.cache.settings import CacheSettings
from trainable.data.image_file import (
    UNKNOWN,
    WHITE_16,
    Inspection,
    ReadRules,
    inspect_image,
    read_rules,
)
from trainable.data.listing import ListedImage, Listing
from trainable.errors import DataError, list_first

KEY_BYTES = 16
MAX_KEPT = 4
"""Data sets whose survey a process keeps."""
MAX_LISTED_FILES = 5

_surveys: dict[str, Survey] = {}


@dataclass(frozen=True)
class Survey:
    """Results of reading all files of a data set."""

    unreadable: Mapping[str, str]
    """Key of each image that cannot be read -> the reason."""
    max_value: float | None
    """Largest value of grey images of more than 8 bits; None if there are none."""


def survey_images(
    images: Sequence[ListedImage], rules: ReadRules, folders: Sequence[Path] = ()
) -> Survey:
    """Decodes every image, unless that was done for the same files before.

    Args:
        images: The images; each file is decoded once.
        rules: The rules that they will be read by.
        folders: Where surveys are kept; those that do not exist are not created.
    """
    key = _survey_key(images, rules)
    survey = _surveys.pop(key, None)
    files = [folder / f"survey-{key}.json" for folder in folders]
    if survey is None:
        survey = next((kept for file in files if (kept := _read(file)) is not None), None)
    if survey is None:
        survey = _decode(images, rules)
        _write(files, survey)
        while len(_surveys) >= MAX_KEPT:
            del _surveys[next(iter(_surveys))]
    _surveys[key] = survey
    return survey


def _read(file: Path) -> Survey | None:
    """Returns a survey that was kept; None if there is none, or if it is damaged."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return Survey(dict(values["unreadable"]), values["max_value"])
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _write(files: Sequence[Path], survey: Survey) -> None:
    """Keeps a survey in the first folder that exists and can be written to."""
    for file in files:
        if file.parent.is_dir():
            with suppress(OSError):
                write_text(file, json.dumps(asdict(survey)) + "\n")
                return


def _folders(dataset: FileDataset) -> list[Path]:
    """Returns the folders that may have the cache of a data set."""
    if not dataset.cache:
        return []
    directory = None if dataset.cache_dir is None else Path(dataset.cache_dir).absolute()
    return CacheSettings(Path(dataset.root).absolute(), side=1, directory=directory).folders()


def apply_survey(
    dataset: FileDataset, listing: Listing, measured: float | None = None
) -> tuple[Listing, float | None]:
    """Leaves out images that cannot be read, and measures the white, as the keys say.

    Args:
        dataset: The config's `dataset` section.
        listing: All images of the data set.
        measured: The value that was measured when the training or the sweep began.

    Returns:
        The listing without those images, which a notice lists, and the largest value of deep
        images where `max_value` is `auto`.

    Raises:
        DataError: A class has no image left in a split.
    """
    measures = dataset.max_value == "auto" and measured is None
    if not measures and not dataset.skip_unreadable:
        return listing, measured
    images = [image for split in listing.splits.values() for image in split]
    rules = read_rules(dataset, measured=UNKNOWN)
    survey = survey_images(images, rules, _folders(dataset))
    if measures:
        measured = survey.max_value or WHITE_16
    if dataset.skip_unreadable and survey.unreadable:
        listing = _leave_out(listing, survey.unreadable)
    return listing, measured


def _leave_out(listing: Listing, unreadable: Mapping[str, str]) -> Listing:
    count = sum(map(len, listing.splits.values()))
    kept = replace(
        listing.without(unreadable),
        left_out=[*listing.left_out, *unreadable],
        notices=[*listing.notices, describe_unreadable(unreadable, count)],
    )
    for split in listing.splits:
        before, after = listing.counts(split), kept.counts(split)
        empty = [
            name
            for name, had, has in zip(listing.classes, before, after, strict=True)
            if had and not has
        ]
        if empty:
            raise DataError(
                f"no image of class {', '.join(empty)} in {listing.place(split)} can be read; "
                f"{describe_unreadable(unreadable, count)}"
            )
    return kept


def describe_unreadable(unreadable: Mapping[str, str], count: int) -> str:
    """Returns a line on the images that are left out.

    Args:
        unreadable: Key of each image -> the reason.
        count: Number of all images.
    """
    lines = [f"{key}: {reason}" for key, reason in unreadable.items()]
    return (
        f"{len(unreadable)} of {count} images cannot be read and are left out "
        f"(dataset.skip_unreadable): {list_first(lines, MAX_LISTED_FILES, '; ')}"
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
