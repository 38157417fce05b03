"""Tables of ranked trials, configurations and Pareto fronts for the terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.measure import Measurement
from rich.table import Table

from sweeps.results.aggregate import Configuration
from sweeps.results.ranking import sampled_keys
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.console import console
from sweeps.terminal.formatting import format_metric, format_value, make_table

MAX_TRIALS = 20
"""Trials that the ranking shows."""
MAX_CONFIGURATIONS = 10
"""Configurations that their table shows."""
UNLIMITED_WIDTH = 10_000
"""Columns of a terminal in which every table fits."""


def ranking_table(results: list[TrialResult], metric: str) -> Table:
    """Returns the best trials with as many of their sampled values as fit the terminal.

    Headings are broken after `_` and `.` before a value is left out.

    Args:
        results: The sweep's trials, best first.
        metric: The metric that ranks them.
    """
    keys = sampled_keys(results)
    for shown in range(len(keys), 0, -1):
        table = _ranking_table(results, metric, keys, shown)
        if _required_width(table).maximum > console.width:
            for column in table.columns[-shown:]:
                column.header = re.sub(r"([_.])", r"\1\n", str(column.header))
        if _required_width(table).minimum <= console.width:
            return table
    return _ranking_table(results, metric, keys, 0)


def _required_width(table: Table) -> Measurement:
    return Measurement.get(console, console.options.update_width(UNLIMITED_WIDTH), table)


def _ranking_table(results: list[TrialResult], metric: str, keys: list[str], shown: int) -> Table:
    """Returns the table with the first `shown` sampled keys."""
    table = make_table(
        "#",
        "trial",
        "state",
        metric,
        "epoch",
        "of",
        title=f"trials by {metric} of their best epoch",
    )
    names = Counter(key.rpartition(".")[2] for key in keys)
    for key in keys[:shown]:
        name = key.rpartition(".")[2]
        heading = name if names[name] == 1 else key
        table.add_column(heading, justify="right", overflow="fold", min_width=8)
    for rank, result in enumerate(results[:MAX_TRIALS], start=1):
        best, last = result.best, result.last
        table.add_row(
            str(rank),
            result.record.id,
            result.record.state,
            format_metric(best, metric),
            "-" if best is None else str(best["epoch"]),
            "-" if last is None else str(last["epoch"]),
            *(_format_sampled(result.record.current.get(key)) for key in keys[:shown]),
        )
    hidden = len(keys) - shown
    more = [f"{len(results) - MAX_TRIALS} more trials"] if len(results) > MAX_TRIALS else []
    more += [f"{hidden} more value{'s' if hidden > 1 else ''} per trial"] if hidden else []
    table.caption = f"{', '.join(more)} in trials.csv" if more else None
    return table


def _format_sampled(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def configurations_table(configurations: list[Configuration], metric: str) -> Table:
    """Returns the best configurations by the mean of their trials.

    Args:
        configurations: Best first.
        metric: The metric that ranks them.
    """
    table = make_table(
        *("#", "configuration", "mean", "sd", "trials", "best trial"),
        title=f"configurations by mean {metric}",
    )
    for rank, configuration in enumerate(configurations[:MAX_CONFIGURATIONS], start=1):
        table.add_row(
            str(rank),
            str(configuration.number),
            f"{configuration.mean:.4f}",
            "-" if configuration.sd is None else f"{configuration.sd:.4f}",
            f"{len(configuration.scores)}{' final' if configuration.final else ''}",
            configuration.results[0].record.id,
        )
    if len(configurations) > MAX_CONFIGURATIONS:
        table.caption = f"{len(configurations) - MAX_CONFIGURATIONS} more in trials.csv"
    return table


def pareto_table(front: list[TrialResult], metrics: Iterable[str]) -> Table:
    """Returns the trials of a Pareto front with their metrics."""
    names = list(metrics)
    title = "Pareto front: no other trial is better in every metric"
    table = make_table("trial", *names, title=title)
    for result in front:
        row = result.best or {}
        table.add_row(result.record.id, *(format_value(float(row[name])) for name in names))
    return table
