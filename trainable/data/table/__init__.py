"""`table`: the images that a CSV, TSV or Parquet file lists, with their labels.

Opens no image and imports no torch; pyarrow is imported for Parquet only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainable.config import TableDataset
from trainable.data.listing import TEST, TRAIN, VAL, ListedImage, Listing
from trainable.data.table.paths import ImageFiles, PathRuleError
from trainable.data.table.rows import Row, Table, read_table
from trainable.errors import DataError, list_first

SPLITS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}
"""Value of the split column, in lower case -> the split."""
MAX_LISTED_FILES = 5
MAX_LISTED_CLASSES = 10
DIGITS = re.compile("([0-9]+)")


def list_table(dataset: TableDataset) -> Listing:
    """Lists the images of a table.

    They are sorted by label and path, so that the order of the rows does not matter.

    Args:
        dataset: The config's `dataset` section; its `classes`, if set, give the label order.

    Raises:
        DataError: The table or files are missing, or break a rule; the text has all problems.
    """
    root = Path(dataset.root)
    if not root.is_dir():
        raise DataError(f"dataset.root must be a directory; there is no {root}")
    table = read_table(dataset)
    if not table.rows:
        raise DataError(f"dataset.file must have at least one image; {table.file} has none")
    rows, problems = _clean(dataset, table)
    _refuse(problems)
    classes, problems = _order_classes(dataset, rows)
    images, of_paths = _find_images(dataset, table, rows)
    _refuse([*problems, *of_paths])
    listing = Listing(root, classes, notices=[*table.notices, *_describe(table, rows)])
    if len(images) < len(rows):
        repeated = f"{len(rows) - len(images)} of {len(rows)} rows"
        listing.notices.append(f"{table.file}: {repeated} repeat others and are left out")
    numbers = {name: label for label, name in enumerate(classes)}
    for split in (TRAIN, TEST, VAL):
        chosen = [image for image in images if image.row.split == split]
        if chosen or split == TRAIN:
            listing.splits[split] = _sort(chosen, numbers)
    _refuse([*_check_labels(listing, table), *_assign_val(dataset, listing, table)])
    return listing


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise DataError("; ".join(problems))


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Returns what texts are sorted by so that 2 comes before 10."""
    parts = DIGITS.split(text)
    numbers = (part.lstrip("0") if at % 2 else part for at, part in enumerate(parts))
    key = ((len(part) if at % 2 else 0, part) for at, part in enumerate(numbers))
    return (*key, (0, text))


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorts class names so that 2 comes before 10; otherwise as folders are sorted."""
    return tuple(sorted(set(names), key=natural_key))


@dataclass(frozen=True, slots=True)
class _Image:
    """A row whose image exists."""

    row: Row
    key: str
    path: str


def _clean(dataset: TableDataset, table: Table) -> tuple[list[Row], list[str]]:
    """Returns the rows with plain labels, splits and groups, and the problems with them."""
    empty: dict[str, list[int]] = defaultdict(list)
    other: dict[str, list[int]] = defaultdict(list)
    rows = []
    for row in table.rows:
        values = {"path": row.path, "label": row.label, "group": row.group, "split": row.split}
        for kind, value in values.items():
            if value is not None and not value.strip():
                empty[kind].append(row.number)
        split = TRAIN if row.split is None else SPLITS.get(row.split.strip().lower())
        if split is None and row.split and row.split.strip():
            other[row.split].append(row.number)
        label = unicodedata.normalize("NFC", row.label.strip())
        group = None if row.group is None else unicodedata.normalize("NFC", row.group.strip())
        rows.append(Row(row.number, row.path, label, split, group))
    problems = [
        f"dataset.{kind}_column {getattr(dataset, f'{kind}_column')} must not be empty, found "
        f"nothing in {table.list_rows(numbers)} of {table.file}{_EMPTY_HINTS.get(kind, '')}"
        for kind, numbers in empty.items()
    ]
    for value, numbers in list(other.items())[:MAX_LISTED_FILES]:
        problems.append(
            f"dataset.split_column {dataset.split_column} must hold train, val or test, found "
            f'"{value}" in {table.list_rows(numbers)} of {table.file}'
        )
    return rows, problems


_EMPTY_HINTS = {
    "group": ": give an image that belongs to no group a value of its own",
    "label": ": add the classes, or leave out the rows",
}


def _order_classes(
    dataset: TableDataset, rows: Sequence[Row]
) -> tuple[tuple[str, ...], list[str]]:
    """Returns the names of the classes in label order, and the problem with them, if any."""
    names = natural_order(row.label for row in rows)
    if dataset.classes is None:
        if len(names) >= 2:
            return names, []
        return names, [
            f"dataset.label_column {dataset.label_column} must hold at least 2 classes, found "
            f"{names[0]} alone"
        ]
    wanted = tuple(unicodedata.normalize("NFC", name) for name in dataset.classes)
    parts = (
        ("missing", [name for name in wanted if name not in names]),
        ("new", [name for name in names if name not in wanted]),
    )
    difference = " and ".join(f"{word} {_list_names(listed)}" for word, listed in parts if listed)
    if not difference:
        return wanted, []
    return wanted, [
        f"dataset.file {dataset.file} must hold the classes of dataset.classes: {difference}; for "
        "renamed classes, set dataset.classes to their names in the old order"
    ]


def _list_names(names: Sequence[str]) -> str:
    return list_first(names, MAX_LISTED_CLASSES)


@dataclass
class _PathProblems:
    """Problems with the paths of a table."""

    missing: dict[str, int] = field(default_factory=dict)
    """Identity -> number of the row."""
    rules: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Rule -> rows and their paths."""
    repeated: dict[str, list[str]] = field(default_factory=dict)
    """`label`, `split` or `group` -> sentences on the rows that contradict each other."""


def _find_images(
    dataset: TableDataset, table: Table, rows: Sequence[Row]
) -> tuple[list[_Image], list[str]]:
    """Returns the image of each row, every image once, and the problems with the paths."""
    files = ImageFiles(Path(dataset.root))
    images: dict[str, _Image] = {}
    problems = _PathProblems()
    for row in rows:
        try:
            key, path = files.find(row.path)
        except PathRuleError as error:
            problems.rules.setdefault(str(error), []).append((row.number, row.path))
            continue
        if path is None:
            problems.missing.setdefault(key, row.number)
        elif key in images:
            _compare(images[key].row, row, problems)
        else:
            images[key] = _Image(row, key, path)
    return list(images.values()), _describe_paths(dataset, table, files, problems)


def _compare(first: Row, second: Row, problems: _PathProblems) -> None:
    """Compares two rows of one image."""
    for kind in ("label", "split", "group"):
        values = getattr(first, kind), getattr(second, kind)
        if values[0] != values[1]:
            problems.repeated.setdefault(kind, []).append(
                f"{second.path} is {values[0]} in {first.number} and {values[1]} in "
                f"{second.number}"
            )


_REPEATED = {
    "label": "an image must have one class",
    "split": "an image must be in one split",
    "group": "an image must be in one group",
}


def _describe_paths(
    dataset: TableDataset, table: Table, files: ImageFiles, problems: _PathProblems
) -> list[str]:
    column = f"dataset.path_column {dataset.path_column}"
    sentences = []
    for rule, places in problems.rules.items():
        number, path = places[0]
        others = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        sentences.append(f"{column}: {path} in {table.unit} {number}{others} {rule}")
    for kind, contradictions in problems.repeated.items():
        sentences.append(
            f"dataset.{kind}_column {getattr(dataset, f'{kind}_column')}: {_REPEATED[kind]}; by "
            f"{table.unit} of {table.file}, {_list_first(contradictions)}"
        )
    if problems.missing:
        listed = []
        for key, number in list(problems.missing.items())[:MAX_LISTED_FILES]:
            similar = files.similar(key)
            hint = f", but there is {similar}" if similar is not None else ""
            listed.append(f"{key} ({table.unit} {number}{hint})")
        count = len(problems.missing)
        more = ", ..." if count > MAX_LISTED_FILES else ""
        word = "image is" if count == 1 else "images are"
        sentences.append(
            f"{column}: {count} {word} missing below {dataset.root}: {', '.join(listed)}{more}"
        )
    return sentences


def _list_first(sentences: Sequence[str]) -> str:
    count = len(sentences) - MAX_LISTED_FILES
    more = f"; and {count} more" if count > 0 else ""
    return "; ".join(sentences[:MAX_LISTED_FILES]) + more


def _sort(images: Sequence[_Image], numbers: dict[str, int]) -> tuple[ListedImage, ...]:
    listed = (ListedImage(i.key, i.path, numbers[i.row.label], i.row.group) for i in images)
    return tuple(sorted(listed, key=lambda image: (image.label, image.key.rpartition("/"))))


def _describe(table: Table, rows: Sequence[Row]) -> list[str]:
    """Returns lines for the user on labels and on rows that are the same."""
    notices = []
    spaced = [row.number for row in table.rows if row.label != row.label.strip()]
    if spaced:
        places = table.list_rows(spaced)
        notices.append(f"{table.file}: spaces around the class are left out in {places}")
    counts = Counter(row.label for row in rows)
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        spellings[label.casefold()].append(label)
    for labels in spellings.values():
        if len(labels) > 1:
            listed = " and ".join(f"{label} ({counts[label]})" for label in natural_order(labels))
            notices.append(f"{table.file}: classes that differ by capital letters only: {listed}")
    return notices


def _check_labels(listing: Listing, table: Table) -> list[str]:
    """Returns the problem that a class has no training image; notes where others are missing."""
    problems = []
    for split in listing.splits:
        counts = listing.counts(split)
        empty = [name for name, count in zip(listing.classes, counts, strict=True) if not count]
        if empty and split == TRAIN:
            problems.append(
                f"dataset.file must hold training images of every class, found none of "
                f"{_list_names(empty)} in {table.file}"
            )
        elif empty:
            line = f"{table.file} has no {split} image of {_list_names(empty)}"
            listing.notices.append(line)
    return problems


def _assign_val(dataset: TableDataset, listing: Listing, table: Table) -> list[str]:
    """Decides what images for validation are; returns the problem with them, if any."""
    if VAL not in listing.splits:
        return []
    if TEST not in listing.splits and dataset.test_split is None:
        listing.splits[TEST] = listing.splits.pop(VAL)
        is_held_out = dataset.val_split is not None or dataset.folds is not None
        kind = "the test set" if is_held_out else "both the validation set and the test set"
        line = f"{table.file} has no test images: those for validation are {kind}"
        listing.notices.append(line)
        return []
    return [
        f"dataset.{key} must be null, because {table.file} has images for validation, found "
        f"{value:g}"
        for key, value in (("val_split", dataset.val_split), ("folds", dataset.folds))
        if value is not None
    ]
