"""`metrics.jsonl`: one row per epoch, every epoch once, also after a resume."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from trainable.atomic_files import write_text
from trainable.errors import ExperimentError


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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows in file order, without a last line that a kill cut short.

    Raises:
        ExperimentError: A line is not an epoch's metrics; the text names the first such line.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        rows: list[dict[str, Any]] = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        raise ExperimentError(f"{path}: {_describe_broken_line(lines)}") from None
    return rows


def _describe_broken_line(lines: list[bytes]) -> str:
    for number, line in enumerate(lines, start=1):
        try:
            from_json(line)
        except ValueError as error:
            return f"line {number} is not an epoch's metrics: {error}"
    return "the lines are not epochs' metrics"


class MetricsFile:
    """Appends to one training's `metrics.jsonl`, and truncates it for a resume."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: dict[str, Any]) -> None:
        """Appends one epoch's row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def truncate(self, epoch: int) -> None:
        """Removes the rows of later epochs, and a last line that a kill cut short."""
        if self._path.exists():
            rows = [row for row in read_rows(self._path) if row["epoch"] <= epoch]
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))
