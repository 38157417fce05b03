"""Formats numbers, sizes, times and tables for people."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import rich.box
from rich.console import JustifyMethod
from rich.table import Table

from sweeps.terminal.tables import MIN_WIDTH, shorten

TEXT_COLUMNS = {"", "trial", "best trial", "state", "sweep", "metric", "model", "started"}
"""Columns that are aligned to the left; all others hold numbers."""
SIZE_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
TIME_UNITS = (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48), ("d", 86400, math.inf))
"""(name, seconds, the count from which the next unit is used)."""


MAX_MESSAGE = 400
"""Columns of an error's message in a line about a trial; the trial's log has all of it."""


def make_table(*columns: str, title: str | None = None, shortened: Collection[str] = ()) -> Table:
    """Returns an empty table with these columns.

    Args:
        *columns: Headings; those in `TEXT_COLUMNS` are aligned to the left.
        title: A line above the table.
        shortened: The columns of `ShortenedText`, which give way if the terminal is too narrow.
    """
    box = rich.box.SIMPLE_HEAD
    table = Table(
        title=title, title_justify="left", caption_justify="left", box=box, padding=(0, 1, 0, 0)
    )
    for name in columns:
        justify: JustifyMethod = "left" if name in TEXT_COLUMNS else "right"
        gives_way = name in shortened
        least = MIN_WIDTH if gives_way else None
        table.add_column(name, justify=justify, no_wrap=not gives_way, min_width=least)
    return table


def replace_non_finite(data: Any) -> Any:
    """Returns nested plain values with None for NaN and infinities, which JSON does not have."""
    if isinstance(data, dict):
        return {key: replace_non_finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [replace_non_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def format_value(value: Any) -> str:
    """Returns a config value or a metric as tables show it."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_metric(row: dict[str, Any] | None, metric: str) -> str:
    """Returns the metric of a row as tables show it: `0.9750`, or `-` if the row has none."""
    value = None if row is None else row.get(metric)
    return "-" if value is None else f"{value:.4f}"


def format_size(count: int) -> str:
    """Returns a number of bytes as text: `512 B`, `1.4 KiB`, `12.0 MiB`, `3.2 GiB`."""
    for unit, scale in SIZE_UNITS:
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def count_of(number: float, noun: str) -> str:
    """Returns a number with its noun: `1 epoch`, `2 epochs`, `0.5 GPUs`."""
    digits = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{digits} {noun}{'' if number == 1 else 's'}"


def shorten_message(text: str) -> str:
    """Returns an error's message on one line without its middle if it is long."""
    return shorten(" ".join(text.split()), MAX_MESSAGE, " ... ")


def format_time(time: str) -> str:
    """Returns a time of a record, which is in ISO format: `2026-01-15 14:30:22`."""
    return time.replace("T", " ")[:19]


def format_duration(seconds: float) -> str:
    """Returns a time as text: `42 s`, `3.5 min`, `12 min`, `2 h`, `3.4 h`, `2.1 d`."""
    unit, scale = next(
        (name, scale) for name, scale, limit in TIME_UNITS if round(seconds / scale) < limit
    )
    count = seconds / scale
    digits = 1 if scale > 1 and round(count, 1) < 10 else 0
    return f"{count:.{digits}f}".removesuffix(".0") + f" {unit}"
