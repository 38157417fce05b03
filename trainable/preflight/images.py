"""Checks of images in files: classes, splits, whole files, and images that are in two splits.

For 10,000 files that takes two to three seconds of a CPU. `sweep data` reads everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from trainable.config import FileDataset
from trainable.config.preprocessing import complete_preprocessing
from trainable.data.image_file import (
    UNKNOWN,
    Inspection,
    ReadRules,
    describe_treatments,
    inspect_image,
    read_rules,
)
from trainable.data.listing import TRAIN, ListedImage, Listing, list_images
from trainable.data.shapes import IMAGE_FOLDER_CHANNELS
from trainable.data.splits.divide import apply_record, check_test_set, draw_record
from trainable.data.splits.groups import describe_groups
from trainable.data.survey import describe_unreadable
from trainable.errors import DataError, Problem, list_first
from trainable.inspection.copies import describe_leak
from trainable.inspection.duplicates import find_copies
from trainable.preflight.shapes import DataShape, ImageCheck, to_problems

MAX_HEADERS = 10_000
"""Files whose header is read before a sweep; beyond that a sample, evenly over all classes."""
MAX_DECODED = 200
"""Files that are also decoded, evenly over all classes."""
MAX_DECODED_PIXELS = 50_000_000
"""Pixels of these files, which take a second or two."""
MAX_COMPARED = 10_000
"""Files whose content is compared with that of others."""
MAX_LISTED_FILES = 5
THREADS = min(4, os.cpu_count() or 1)

Looks = MutableMapping[tuple[Any, ...], list[Inspection]]
"""Results of reading lists of files by some rules."""


def check_images(
    dataset: FileDataset, *, decode_all: bool = False, looks: Looks | None = None
) -> ImageCheck:
    """Checks the images of a data set.

    Args:
        dataset: The config's `dataset` section.
        decode_all: Whether to decode every image instead of reading headers.
        looks: What was seen of the files by checks of other configs, to which this one adds.
    """
    root = Path(dataset.root)
    if not root.is_dir():
        rule = f"there is no directory {root}; correct the path, or mount it"
        return ImageCheck(None, [Problem("dataset.root", rule)])
    try:
        scan = list_images(dataset)
    except DataError as error:
        return ImageCheck(None, to_problems(error))
    rules = read_rules(dataset, measured=UNKNOWN)
    files = list(_list_files(scan, None if decode_all else MAX_HEADERS))
    looks, key = {} if looks is None else looks, (rules, decode_all, *files)
    if key not in looks:
        looks[key] = _inspect(files, rules, decode_all=decode_all)
    inspections, notices = looks[key], [*scan.notices]
    broken = {
        path: inspection.damage
        for path, inspection in zip(files, inspections, strict=True)
        if inspection.damage
    }
    problems = []
    if dataset.skip_unreadable:
        broken = _decode_again(broken, rules)
    if broken and dataset.skip_unreadable:
        unreadable = _by_key(scan, broken)
        notices.append(describe_unreadable(unreadable, len(files)))
        scan = scan.without(unreadable)
    elif broken:
        problems.append(Problem("dataset.root", _describe_broken(scan.root, broken)))
    problems = [*_check_splits(dataset, scan, notices), *problems]
    side = complete_preprocessing(dataset, IMAGE_FOLDER_CHANNELS).image_size
    shape = DataShape(len(scan.classes), (IMAGE_FOLDER_CHANNELS, side, side))
    return ImageCheck(shape, problems, [*notices, *describe_treatments(inspections, rules)])


def _check_splits(dataset: FileDataset, scan: Listing, notices: list[str]) -> list[Problem]:
    """Returns the problems with dividing the images into splits; adds to the notices."""
    try:
        check_test_set(dataset, scan)
        record = draw_record(dataset, scan)
        images, _ = apply_record(scan, record)
    except DataError as error:
        return to_problems(error)
    if record.group_column is not None:
        notices += describe_groups(record.group_column, images)
    notices += _describe_copies(scan.root, images)
    return []


def _describe_copies(root: Path, images: Mapping[str, Sequence[ListedImage]]) -> Iterator[str]:
    """Yields a line for each split with images that are trained as well."""
    trained = [image.path for image in images[TRAIN]]
    evaluated = {
        image.path: split for split in images if split != TRAIN for image in images[split]
    }
    pairs, compared = find_copies(trained, [*evaluated], limit=MAX_COMPARED, threads=THREADS)
    for split in sorted({evaluated[path] for path, _ in pairs}):
        of_split = [pair for pair in pairs if evaluated[pair[0]] == split]
        count = sum(evaluated[path] == split for path in compared)
        first = " = ".join(_relative(root, path) for path in of_split[0])
        kind = split if count == len(images[split]) else f"sampled {split}"
        more = "; ..." if len(of_split) > 1 else ""
        yield describe_leak(kind, len(of_split), count, first + more)


def _decode_again(broken: Mapping[str, str], rules: ReadRules) -> dict[str, str]:
    """Returns the files that a training cannot decode, which are those that it leaves out."""
    seen = {path: inspect_image(path, rules=rules, decodes=True).damage for path in broken}
    return {path: damage for path, damage in seen.items() if damage is not None}


def _by_key(scan: Listing, broken: Mapping[str, str]) -> dict[str, str]:
    images = (image for of_split in scan.splits.values() for image in of_split)
    return {image.key: broken[image.path] for image in images if image.path in broken}


def _list_files(scan: Listing, limit: int | None) -> Iterator[str]:
    """Yields paths of images, at most `limit`, evenly over the splits and their classes."""
    total = sum(map(len, scan.splits.values()))
    if limit is None or total <= limit:
        yield from (image.path for images in scan.splits.values() for image in images)
        return
    by_class = [files for images in scan.splits.values() for files in _group(images)]
    rows = zip_longest(*(_spread(files, limit) for files in by_class))
    yield from islice((path for row in rows for path in row if path is not None), limit)


def _group(images: Sequence[ListedImage]) -> Iterable[list[str]]:
    groups: dict[int, list[str]] = {}
    for image in images:
        groups.setdefault(image.label, []).append(image.path)
    return groups.values()


def _spread(files: list[str], limit: int) -> Iterator[str]:
    """Yields the files in an order in which every beginning is spread over the whole list."""
    step = max(1, len(files) // limit)
    for start in range(step):
        yield from files[start::step]


def _inspect(files: list[str], rules: ReadRules, *, decode_all: bool) -> list[Inspection]:
    """Reads the headers of files, and decodes all or some of them."""
    with ThreadPoolExecutor(THREADS) as pool:
        inspect = partial(inspect_image, rules=rules, decodes=decode_all)
        inspections = list(pool.map(inspect, files))
        if not decode_all:
            sample = _choose_decoded(files, inspections)
            decode = partial(inspect_image, rules=rules, decodes=True)
            decoded = pool.map(decode, [files[position] for position in sample])
            for position, inspection in zip(sample, decoded, strict=True):
                inspections[position] = inspection
    return inspections


def _choose_decoded(files: list[str], inspections: Sequence[Inspection]) -> list[int]:
    """Returns positions of files to decode: one of each kind, and others spread over the list."""
    kinds = {
        (seen.mode, seen.treatments, Path(path).suffix.lower()): position
        for position, (path, seen) in enumerate(zip(files, inspections, strict=True))
        if not seen.damage
    }
    spread = range(0, len(files), max(1, len(files) // MAX_DECODED))
    chosen: list[int] = []
    pixels = 0
    for position in dict.fromkeys([*kinds.values(), *spread]):
        size = inspections[position].size
        if size is None or inspections[position].damage:
            continue
        pixels += size[0] * size[1]
        if chosen and (pixels > MAX_DECODED_PIXELS or len(chosen) >= MAX_DECODED):
            break
        chosen.append(position)
    return chosen


def _describe_broken(root: Path, broken: Mapping[str, str]) -> str:
    count = len(broken)
    lines = [f"{_relative(root, path)}: {reason}" for path, reason in broken.items()]
    files = "1 image" if count == 1 else f"{count} images"
    return (
        f"{root} has {files} that cannot be read; mend or remove them, or leave them out with "
        f"dataset.skip_unreadable: {list_first(lines, MAX_LISTED_FILES, '; ')}"
    )


def _relative(root: Path, path: str) -> str:
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path
