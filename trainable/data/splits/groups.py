"""Groups of images that must be in one split, e.g. those of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from trainable.data.listing import TEST, TRAIN, VAL, ListedImage, Listing
from trainable.errors import DataError, list_first

ID_SHARE = 0.9
"""Groups per image beyond which a column looks like a number of the images themselves."""
MAX_LISTED_GROUPS = 5


def check_groups(column: str, listing: Listing) -> None:
    """Checks that no group is in several of the splits that the data have.

    Args:
        column: `dataset.group_column`.
        listing: The images.

    Raises:
        DataError: A group is.
    """
    groups = {split: names_of(images) for split, images in listing.splits.items()}
    problems = []
    for first, second in combinations(groups, 2):
        shared = sorted(groups[first] & groups[second])
        if shared:
            problems.append(
                f"dataset.group_column {column} must not have a value in both {first} and "
                f"{second}, found {len(shared)} ({list_first(shared, MAX_LISTED_GROUPS)})"
            )
    if problems:
        raise DataError("; ".join(problems))


def names_of(images: Sequence[ListedImage]) -> set[str]:
    """Returns the names of the groups of images."""
    return {image.group or "" for image in images}


def describe_groups(column: str, images: Mapping[str, Sequence[ListedImage]]) -> list[str]:
    """Returns lines on the groups of each split, and on a column that says nothing."""
    order = [split for split in (TRAIN, VAL, TEST) if split in images]
    numbers = {split: len(names_of(images[split])) for split in order}
    parts = [
        f"{split} {_count(numbers[split], 'group')} of {_count(len(images[split]), 'image')}"
        for split in order
    ]
    lines = [f"dataset.group_column {column}: {', '.join(parts)}"]
    if sum(numbers.values()) >= ID_SHARE * sum(len(images[split]) for split in order):
        lines.append(
            f"dataset.group_column {column} looks like a number of the images, which keeps none "
            "together: nearly every image is alone in its group"
        )
    return lines


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
