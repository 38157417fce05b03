"""`metrics.jsonl`: one row per epoch, every epoch once, also after a resume."""

from __future__ import annotations

import json
import math
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from trainable.atomic_files import append_whole, write_text
from trainable.errors import ExperimentError
from trainable.trial_settings import VALUES

Row = dict[str, Any]

NUMBERS = (
    *("train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc"),
    *("best_acc", "best_epoch", "lr", "epoch_s", "images_per_s", "peak_memory_gib"),
)
"""Metrics of an epoch that are numbers, or null where there is none."""
ACCURACY = "val_acc"
"""The column by which an epoch is the best one unless `checkpoint.monitor` names another."""
PER_CLASS_KEY = "per_class"
"""Key of a training's row for the metrics that have a value for every class: a mapping of columns,
such as `val_recall_per_class`, to lists. They are written to a file of their own."""
MAX_VALUE_CHARS = 40
"""Characters of a wrong value that a message quotes."""


def best_column(monitor: str) -> str:
    """Returns the column of the best value so far of a metric, e.g. `best_f1_macro`."""
    return f"best_{monitor.removeprefix('val_')}"


def monitor_of(row: Mapping[str, Any]) -> str:
    """Returns the column by which the `best_epoch` of a row is the best one."""
    fixed = {"best_acc", "best_epoch"}
    column = next((name for name in row if name.startswith("best_") and name not in fixed), None)
    return ACCURACY if column is None else f"val_{column.removeprefix('best_')}"


def accuracy_beside(row: Mapping[str, Any] | None, metric: str) -> float | None:
    """Returns the validation accuracy of an epoch that another metric ranks; None without one."""
    return None if row is None or metric == ACCURACY else row.get(ACCURACY)


def more_scores(row: Mapping[str, Any], split: str = "val") -> list[str]:
    """Returns the columns of a split's metrics besides loss and accuracy, e.g. `val_f1_macro`."""
    fixed = {f"{split}_loss", f"{split}_acc"}
    return [name for name in row if name.startswith(f"{split}_") and name not in fixed]


def has_diverged(row: Mapping[str, Any]) -> bool:
    """Returns whether the training or the validation loss of an epoch is not finite.

    Such an epoch is never the best one: the argmax of NaN logits is the first class, whose share
    of the images then passes for an accuracy.
    """
    losses = (row.get("train_loss"), row.get("val_loss"))
    return any(loss is not None and not math.isfinite(loss) for loss in losses)


def is_scored(row: Mapping[str, Any], metric: str) -> bool:
    """Returns whether trials can be compared by the metric of an epoch."""
    value = row.get(metric)
    return value is not None and math.isfinite(value) and not has_diverged(row)


def read_rows(path: Path) -> list[Row]:
    """Returns the rows in file order, without a last line that a kill cut short.

    Raises:
        ExperimentError: The file cannot be read, or a line is not an epoch's metrics; the text
            names the first such line.
    """
    rows, problems = scan_rows(path)
    if problems:
        raise ExperimentError(f"{path}: {problems[0]}")
    return rows


def scan_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Reads the rows of a file that may be damaged.

    Returns:
        (rows, problems): the good rows in file order, without a last line that a kill cut short,
        and a sentence about every other line. A file that does not exist has neither.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"cannot be read: {error.strerror}"]
    return parse_rows(data)


def parse_rows(data: bytes) -> tuple[list[Row], list[str]]:
    """Parses the content of a file, or several of its lines; see `scan_rows`."""
    rows, problems = [], []
    lines = data.split(b"\n")[:-1]
    for number, row in enumerate(_parse_lines(lines), start=1):
        problem = str(row) if isinstance(row, ValueError) else _find_problem(row)
        if problem is None:
            rows.append(row)
        else:
            problems.append(f"line {number} is not an epoch's metrics: {problem}")
    return rows, problems


def _parse_lines(lines: list[bytes]) -> list[Any]:
    """Returns the value of every line, or the error in its place."""
    try:
        rows: list[Any] = from_json(b"[" + b",".join(lines) + b"]")  # much faster than each line
    except ValueError:
        rows = []
    return rows if len(rows) == len(lines) else [_parse_line(line) for line in lines]


def _parse_line(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError as error:
        return error


def _find_problem(row: Any) -> str | None:
    """Returns why a value is not the metrics of an epoch; None if it is."""
    if not isinstance(row, dict):
        return f"expected an object, found {_shorten(row)}"
    epoch = row.get("epoch")
    if type(epoch) is not int or epoch < 1:
        return f"epoch: expected a whole number from 1, found {_shorten(epoch)}"
    for name in NUMBERS:
        value = row.get(name)
        if value is not None and type(value) is not float and type(value) is not int:
            return f"{name}: expected a number, found {_shorten(value)}"
    if not isinstance(row.get(VALUES, {}), dict):
        return f"{VALUES}: expected an object, found {_shorten(row[VALUES])}"
    return None


def _shorten(value: Any) -> str:
    return textwrap.shorten(json.dumps(value), MAX_VALUE_CHARS, placeholder="...")


class MetricsFile:
    """Appends to one training's `metrics.jsonl`, and truncates it for a resume."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: dict[str, Any]) -> None:
        """Appends one epoch's row.

        Raises:
            OSError: The disk is full; the file is as it was before.
        """
        with self._path.open("ab", buffering=0) as file:
            append_whole(file, f"{json.dumps(row)}\n".encode())

    def truncate(self, epoch: int) -> None:
        """Removes the rows of later epochs, and a last line that a kill cut short.

        Rows at the end are removed in place, which a full disk allows.
        """
        if not self._path.exists():
            return
        rows = read_rows(self._path)
        kept = [row for row in rows if row["epoch"] <= epoch]
        if kept == rows[: len(kept)]:
            lines = self._path.read_bytes().split(b"\n")[: len(kept)]
            os.truncate(self._path, sum(len(line) + 1 for line in lines))
        else:
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
