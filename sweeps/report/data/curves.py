"""The metrics of every epoch, and the values that PBT has given to trials, as columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sweeps.report.data.trials import to_plain
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from trainable.artifacts.metrics import Row
from trainable.trial_settings import VALUES

MAX_NUMBERS = 600_000
"""Numbers in all curves of a page, about 4 MB; the curves of the worst trials are left out."""
DIGITS = 5
"""Significant digits of a number in a curve."""
FOLLOWING = "best_"
"""Beginning of the columns that follow from others."""


def curve_metrics(sweep: LoadedSweep) -> list[str]:
    """Lists the columns of numbers of all epochs; those that trials are compared by come first."""
    names: dict[str, None] = dict.fromkeys(sweep.metrics)
    for result in sweep.results:
        for row in result.rows:
            names |= {name: None for name in row if name not in names and _is_drawable(row, name)}
    return list(names)


def _is_drawable(row: Row, name: str) -> bool:
    """Returns whether a column has a number in an epoch and follows from no other column."""
    value = row[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and name != "epoch" and not name.startswith(FOLLOWING)


def curve_data(sweep: LoadedSweep, metrics: Sequence[str]) -> list[dict[str, Any] | None]:
    """Returns the curves of every trial, best first; None for trials that are left out.

    A curve is `epochs`, which is left out if they are 1, 2, 3 and so on, and one column per
    metric. A column is a list with null for gaps, or one number that all epochs have; a metric
    without any number is left out.

    Args:
        sweep: The sweep.
        metrics: The columns.
    """
    curves: list[dict[str, Any] | None] = []
    count = 0
    for result in sweep.results:
        columns = {name: _column([row.get(name) for row in result.rows]) for name in metrics}
        count += sum(len(column) for column in columns.values() if isinstance(column, list))
        if count > MAX_NUMBERS:
            curves.append(None)
            continue
        curve = {name: column for name, column in columns.items() if column is not None}
        epochs = [row["epoch"] for row in result.rows]
        if epochs != list(range(1, len(epochs) + 1)):
            curve["epochs"] = epochs
        curves.append(curve)
    return curves


def _column(values: Sequence[Any]) -> list[float | None] | float | None:
    """Returns rounded numbers; a single one if all are equal, None if there are none."""
    column = [_round(value) for value in values]
    first = column[0] if column else None
    return first if all(value == first for value in column) else column


def _round(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def schedule_data(sweep: LoadedSweep) -> dict[str, list[list[Any]]]:
    """Returns key -> the value that each epoch of each trial was trained with, best trial first.

    Only keys that the scheduler has changed while trials trained; empty if it has changed none.
    """
    keys: dict[str, None] = {}
    for result in sweep.results:
        for step in result.record.lineage:
            values = step["values"]
            keys |= {k: None for k, v in values.items() if result.record.values.get(k) != v}
    return {key: [_values_by_epoch(result, key) for result in sweep.results] for key in keys}


def _values_by_epoch(result: TrialResult, key: str) -> list[Any]:
    values = []
    for row in result.rows:
        value = result.record.values.get(key)
        for step in result.record.lineage:
            if step["epoch"] < row["epoch"]:
                value = step["values"].get(key, value)
        values.append(to_plain((row.get(VALUES) or {}).get(key, value)))
    return values
