"""`classes.jsonl`: the metrics of every epoch that have a value for every class.

A row has `epoch` and, for `val` and `test`, `val_recall_per_class` (a list, null for a class
without images) and `val_confusion_matrix` (a list of rows; row y, column p is the number of images
of class y that were classified as p). In place of the matrix of many classes it has
`val_confusions`: `[y, p, images]` for the most frequent mistakes.

Loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from pathlib import Path
from typing import Any

from trainable.artifacts.metrics import PER_CLASS_KEY, Row, scan_rows

MATRIX = "confusion_matrix"
RECALL = "recall_per_class"
CONFUSIONS = "confusions"
MAX_MATRIX_CLASSES = 200
"""Classes up to which the whole matrix is written, about 0.1 MB an epoch."""
MAX_NUMBERED_CLASSES = 30
"""Classes up to which a drawing of the matrix has the classes' names and the numbers of images."""
MAX_CONFUSIONS = 200
"""Mistakes that are written in place of a larger matrix."""


def split_row(row: Mapping[str, Any]) -> tuple[Row, Row]:
    """Splits a training's row of an epoch.

    Returns:
        (the row without the metrics of every class, those metrics by column).
    """
    numbers = {name: value for name, value in row.items() if name != PER_CLASS_KEY}
    return numbers, row.get(PER_CLASS_KEY, {})


def shorten_matrices(per_class: Mapping[str, Any]) -> Row:
    """Returns the columns of a row of the file, without matrices that are too large for it."""
    columns: Row = {}
    for name, values in per_class.items():
        if name.endswith(MATRIX) and len(values) > MAX_MATRIX_CLASSES:
            columns[name.removesuffix(MATRIX) + CONFUSIONS] = list_confusions(values)
        else:
            columns[name] = values
    return columns


def list_confusions(matrix: list[list[int]]) -> list[tuple[int, int, int]]:
    """Returns `(label, prediction, images)` of the most frequent mistakes, the largest first."""
    mistakes = (
        (label, prediction, count)
        for label, row in enumerate(matrix)
        for prediction, count in enumerate(row)
        if count and label != prediction
    )
    return nlargest(MAX_CONFUSIONS, mistakes, key=lambda mistake: mistake[2])


def read_class_metrics(path: Path, epoch: int, split: str) -> Row | None:
    """Reads the metrics of a split after an epoch.

    Args:
        path: A `classes.jsonl`, which need not exist.
        epoch: The epoch.
        split: `val` or `test`.

    Returns:
        `epoch` and the columns without the split's name; None if there are none. The test set is
        not evaluated after every epoch: they are then those of the nearest epoch.
    """
    rows = [row for row in scan_rows(path)[0] if any(name.startswith(f"{split}_") for name in row)]
    if split == "val":
        rows = [row for row in rows if row["epoch"] == epoch]
    row = min(rows, key=lambda row: abs(row["epoch"] - epoch), default=None)
    if row is None:
        return None
    prefix = f"{split}_"
    columns = {n.removeprefix(prefix): v for n, v in row.items() if n.startswith(prefix)}
    return {"epoch": row["epoch"], **columns}
