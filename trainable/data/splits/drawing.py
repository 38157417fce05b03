"""Draws the parts of a data set of files: by images, or by groups of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from trainable.data.listing import TEST, ListedImage
from trainable.data.splits.by_position import TEST_SEED, check_counts, fold_sizes, share_size
from trainable.data.splits.record import SplitRecord, group_hash, image_hash
from trainable.errors import DataError

Images = Sequence[ListedImage]


def draw_cuts(images: Images, classes: Sequence[str], record: SplitRecord) -> tuple[int, ...]:
    """Draws the parts of a training set; see `SplitRecord.cuts`.

    Args:
        images: The training set.
        classes: Class names in label order.
        record: The settings: `seed`, and `fraction` or `folds`.

    Raises:
        DataError: A class has too few images.
    """
    by_class = _sort_hashes(images, len(classes), lambda image: image_hash(image.key, record.seed))
    counts = [len(hashes) for hashes in by_class]
    check_counts(counts, record.parts, classes, key=_key(record))
    cuts: list[int] = []
    for label, hashes in enumerate(by_class):
        if record.fraction is None:
            sizes = fold_sizes(len(hashes), record.parts, first=sum(counts[:label]))
        else:
            sizes = [share_size(record.fraction, len(hashes)), 0]
        cuts += _cut(hashes, sizes)
    return tuple(cuts)


def _key(record: SplitRecord) -> str:
    """Returns the key that asks for the parts of a training set."""
    return "dataset.val_split" if record.folds is None else "dataset.folds"


def draw_test_cuts(images: Images, classes: Sequence[str], fraction: float) -> tuple[int, ...]:
    """Draws the test set of `test_split`; see `SplitRecord.test_cuts`.

    Raises:
        DataError: A class has a single image.
    """
    by_class = _sort_hashes(
        images, len(classes), lambda image: image_hash(image.key, TEST_SEED, TEST)
    )
    check_counts([len(hashes) for hashes in by_class], 2, classes, key="dataset.test_split")
    sizes = [[share_size(fraction, len(hashes)), 0] for hashes in by_class]
    return tuple(
        cut for hashes, size in zip(by_class, sizes, strict=True) for cut in _cut(hashes, size)
    )


def _sort_hashes(
    images: Images, classes: int, hash_of: Callable[[ListedImage], int]
) -> list[list[int]]:
    """Returns the hashes of each class, in ascending order."""
    hashes: list[list[int]] = [[] for _ in range(classes)]
    for image in images:
        hashes[image.label].append(hash_of(image))
    return [sorted(of_class) for of_class in hashes]


def _cut(hashes: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Returns the middle between the last hash of each part and the first one of the next."""
    ends = list(accumulate(sizes))[:-1]
    return [(hashes[end - 1] + hashes[end] + 1) // 2 for end in ends]


def draw_groups(images: Images, classes: Sequence[str], record: SplitRecord) -> dict[str, int]:
    """Draws the part of every group of a training set; see `SplitRecord.groups`.

    Every part gets at least one group of every class, and nearly its share of its images.

    Args:
        images: The training set.
        classes: Class names in label order.
        record: The settings: `group_column`, `seed`, and `fraction` or `folds`.

    Raises:
        DataError: A class has too few groups, or they cannot be divided.
    """
    shares = [record.fraction or 1 / part for part in range(record.parts, 1, -1)]
    key = f"{_key(record)} with dataset.group_column {record.group_column}"
    return _draw_parts(images, classes, shares, key, lambda name: group_hash(name, record.seed))


def draw_test_groups(
    images: Images, classes: Sequence[str], column: str, fraction: float
) -> dict[str, int]:
    """Draws which groups are the test set; see `SplitRecord.test_groups`.

    Raises:
        DataError: A class has too few groups, or they cannot be divided.
    """
    key = f"dataset.test_split with dataset.group_column {column}"
    return _draw_parts(
        images, classes, [fraction], key, lambda name: group_hash(name, TEST_SEED, TEST)
    )


def _draw_parts(
    images: Images,
    classes: Sequence[str],
    shares: Sequence[float],
    key: str,
    hash_of: Callable[[str], int],
) -> dict[str, int]:
    """Draws the groups of each part.

    Args:
        images: The images.
        classes: Class names in label order.
        shares: Share of each part in the images that are left for it and the later ones; the last
            part gets the groups that remain.
        key: Keys that ask for the parts, for error messages.
        hash_of: Returns the number by which groups are sorted.

    Returns:
        Group -> number of its part.
    """
    groups: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for image in images:
        groups[image.group or ""][image.label] += 1
    counts = _count_groups(groups.values(), len(classes))
    check_counts(counts, len(shares) + 1, classes, key=key, unit="group")
    order = sorted(groups, key=lambda name: (hash_of(name), name))
    parts = dict.fromkeys(sorted(groups), len(shares))
    for part, share in enumerate(shares):
        remaining = {name: groups[name] for name in order if parts[name] == len(shares)}
        wanted = [
            share * sum(group.get(label, 0) for group in remaining.values())
            for label in range(len(classes))
        ]
        for name in _take(remaining, wanted, len(shares) - part, classes, key):
            parts[name] = part
    return parts


def _take(
    groups: Mapping[str, Mapping[int, int]],
    wanted: Sequence[float],
    least_left: int,
    classes: Sequence[str],
    key: str,
) -> list[str]:
    """Returns the groups of one part.

    In their order, each group is taken if the numbers of images come nearer to the wanted ones. A
    class that then has none gets the group that fits best.

    Args:
        groups: Name -> label -> number of images.
        wanted: Number of images of each class that the part should have.
        least_left: Number of groups of every class that must be left.
        classes: Class names in label order, for error messages.
        key: See `_draw_parts`.
    """
    left = _count_groups(groups.values(), len(wanted))
    had = [0] * len(wanted)
    taken: dict[str, None] = {}

    def worsening(group: Mapping[int, int]) -> float:
        """Returns by how much the part's chi-square distance from the wanted one would grow."""
        return sum(n * (2 * (had[c] - wanted[c]) + n) / wanted[c] for c, n in group.items())

    def take(name: str) -> None:
        taken[name] = None
        for label, number in groups[name].items():
            had[label] += number
            left[label] -= 1

    def is_spare(group: Mapping[int, int]) -> bool:
        return all(left[label] > least_left for label in group)

    for name, group in groups.items():
        if is_spare(group) and worsening(group) < 0:
            take(name)
    for label, class_name in enumerate(classes):
        if had[label]:
            continue
        spare = [name for name, group in groups.items() if label in group and is_spare(group)]
        spare = [name for name in spare if name not in taken]
        if not spare:
            raise DataError(
                f"{key} cannot divide the groups so that every part has images of class "
                f"{class_name}; use fewer parts, or leave out dataset.group_column"
            )
        take(min(spare, key=lambda name: worsening(groups[name])))
    return list(taken)


def _count_groups(groups: Iterable[Mapping[int, int]], classes: int) -> list[int]:
    """Returns the number of groups that have images of each class."""
    counts = [0] * classes
    for group in groups:
        for label in group:
            counts[label] += 1
    return counts
