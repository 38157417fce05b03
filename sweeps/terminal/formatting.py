"""How the verbs that read sweeps write numbers, times and JSON."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import click
import rich.box
from rich.table import Table

from sweeps.terminal.console import say

AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for a script.")


TEXTS = {"", "trial", "state", "sweep", "metric", "started"}
"""Columns that are not numbers."""


def table(*names: str) -> Table:
    """An empty table with these columns."""
    drawn = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        drawn.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=True)
    return drawn


def say_json(data: Any) -> None:
    """Prints plain values as JSON on one line; numbers that are not finite become null."""
    say(json.dumps(finite(data), default=str))


def finite(data: Any) -> Any:
    """Nested plain values with null for every number that JSON does not have."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def short(value: Any) -> str:
    """A value of a config, or a metric, in a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def score(row: dict[str, Any] | None, metric: str) -> str:
    """A row's metric in a table."""
    value = None if row is None else row.get(metric)
    return "-" if value is None else f"{value:.4f}"


def size(count: int) -> str:
    """A number of bytes."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def quoted(path: Path) -> str:
    """A path as a shell takes it, from the working directory where it lies below that."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


UNITS = (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48), ("d", 86400, math.inf))


def duration(seconds: float) -> str:
    """A time for people: `42 s`, `3.5 min`, `12 min`, `2 h`, `3.4 h`, `2.1 d`."""
    unit, size = next((name, size) for name, size, most in UNITS if round(seconds / size) < most)
    count = seconds / size
    digits = 1 if size > 1 and round(count, 1) < 10 else 0
    return f"{count:.{digits}f}".removesuffix(".0") + f" {unit}"


def mebibytes(size: int) -> str:
    """A size in bytes as it is shown."""
    return f"{size / 2**20:.1f} MiB"
