"""Checks of an image folder: its classes and splits, and whether its files are whole images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path

from trainable.config import ImageFolderDataset
from trainable.config.preprocessing import complete_preprocessing
from trainable.data.image_file import Inspection, describe_treatments, inspect_image
from trainable.data.listing import TRAIN, ListedImage, Listing, list_images
from trainable.data.shapes import IMAGE_FOLDER_CHANNELS
from trainable.errors import DataError, Problem
from trainable.preflight.shapes import DataShape, ImageCheck

MAX_HEADERS = 10_000
"""Files whose header is read before a sweep; beyond that a sample, evenly over all classes."""

MAX_LISTED_FILES = 5


def check_images(dataset: ImageFolderDataset, *, decode_all: bool = False) -> ImageCheck:
    """Checks the folder of a data set.

    Args:
        dataset: The config's `dataset` section.
        decode_all: Whether to decode every image instead of reading headers.
    """
    root = Path(dataset.root)
    if not root.is_dir():
        rule = f"there is no directory {root}; correct the path, or mount it"
        return ImageCheck(None, [Problem("dataset.root", rule)])
    try:
        scan = list_images(dataset)
    except DataError as error:
        rule = str(error).removeprefix("dataset.root ")
        return ImageCheck(None, [Problem("dataset.root", rule)])
    problems = list(_check_counts(scan, dataset.val_split))
    files = list(_list_files(scan, None if decode_all else MAX_HEADERS))
    inspections = _inspect(files, decodes=decode_all)
    broken = [
        (path, inspection.damage)
        for path, inspection in zip(files, inspections, strict=True)
        if inspection.damage
    ]
    if broken:
        problems.append(Problem("dataset.root", _describe_broken(scan.root, broken)))
    side = complete_preprocessing(dataset, IMAGE_FOLDER_CHANNELS).image_size
    shape = DataShape(len(scan.classes), (IMAGE_FOLDER_CHANNELS, side, side))
    return ImageCheck(shape, problems, [*scan.notices, *describe_treatments(inspections)])


def _check_counts(scan: Listing, val_split: float | None) -> Iterator[Problem]:
    if val_split is None:
        return
    few = [scan.classes[label] for label, count in enumerate(scan.counts(TRAIN)) if count < 2]
    if few:
        rule = (
            f"needs at least 2 images of every class in {scan.place(TRAIN)}, found 1 of "
            f"{', '.join(few)}"
        )
        yield Problem("dataset.val_split", rule)


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


def _inspect(files: list[str], *, decodes: bool) -> list[Inspection]:
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(inspect_image, decodes=decodes), files))


def _describe_broken(root: Path, broken: list[tuple[str, str]]) -> str:
    count = len(broken)
    listed = "; ".join(
        f"{Path(path).relative_to(root)}: {reason}" for path, reason in broken[:MAX_LISTED_FILES]
    )
    more = "; ..." if count > MAX_LISTED_FILES else ""
    files = "1 image" if count == 1 else f"{count} images"
    return f"{root} has {files} that cannot be read; mend or remove them: {listed}{more}"
