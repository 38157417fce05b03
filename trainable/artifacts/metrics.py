"""`metrics.jsonl`: one row an epoch, every epoch once, also after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from trainable.atomic_files import write_text
from trainable.errors import ExperimentError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows in file order; a last line that a kill cut short is left out.

    Raises:
        ExperimentError: A line is no row; names the first.
    """
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]
    try:
        rows: list[dict[str, Any]] = from_json(b"[" + b",".join(whole) + b"]")
    except ValueError:
        raise ExperimentError(f"{path}: {_first_broken(whole)}") from None
    return rows


def _first_broken(lines: list[bytes]) -> str:
    for number, line in enumerate(lines, start=1):
        try:
            from_json(line)
        except ValueError as error:
            return f"line {number} is not an epoch's metrics: {error}"
    return "the lines are no epochs' metrics"


class MetricsFile:
    """Appends and truncates the rows of one training."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: dict[str, Any]) -> None:
        """Adds one epoch's row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def truncate(self, epoch: int) -> None:
        """Drops the rows of later epochs, and a line that a kill cut short."""
        if self._path.exists():
            kept = [row for row in read_rows(self._path) if row["epoch"] <= epoch]
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
