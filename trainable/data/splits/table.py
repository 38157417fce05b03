"""`split.csv`: the split of every image of a data set of files, to be looked at."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from trainable.artifacts.names import SPLIT_TABLE
from trainable.atomic_files import write_text
from trainable.data.listing import TEST, TRAIN, VAL
from trainable.data.splits.divide import DividedImages


def write_split_table(directory: Path, divided: DividedImages) -> None:
    """Writes `split.csv`, unless it has the same content already.

    It has one row per image: its path below the root, its class and its split. With folds it also
    has the fold of every training image, whichever one is held out, and with groups the group.

    Args:
        directory: The experiment directory.
        divided: The images.
    """
    path, text = directory / SPLIT_TABLE, format_split_table(divided)
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def format_split_table(divided: DividedImages) -> str:
    """Returns the content of `split.csv`."""
    record, classes = divided.record, divided.listing.classes
    has_folds, has_groups = record.folds is not None, record.group_column is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "split", *["fold"] * has_folds, *["group"] * has_groups])
    prefix = f"{divided.listing.root}/"
    for split in (TRAIN, VAL, TEST):
        for image in divided.images.get(split, ()):
            row = [image.path.removeprefix(prefix), classes[image.label], split]
            if has_folds:
                row.append("" if split == TEST else str(record.part_of(image)))
            if has_groups:
                row.append(image.group or "")
            writer.writerow(row)
    # Names that are no UTF-8 are written with escapes.
    return text.getvalue().encode("utf-8", "backslashreplace").decode()
