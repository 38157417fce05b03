"""Tables of ranked trials, configurations and Pareto fronts for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from sweeps.results.aggregate import Configuration
from sweeps.results.ranking import sampled_keys
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.console import console, table_width
from sweeps.terminal.formatting import count_of, format_metric, format_value, make_table
from sweeps.terminal.tables import MIN_WIDTH, ShortenedText, fit_columns
from trainable.artifacts.metrics import ACCURACY, accuracy_beside

MAX_TRIALS = 20
"""Trials that the ranking shows."""
MAX_CONFIGURATIONS = 10
"""Configurations that their table shows."""


def ranking_table(results: list[TrialResult], metric: str, epochs: int) -> Table:
    """Returns the best trials with as many of their sampled values as fit the terminal.

    Args:
        results: The sweep's trials, best first.
        metric: The metric that ranks them.
        epochs: Epochs of a trial whose values do not include `training.epochs`.
    """
    keys = sampled_keys(results)
    accuracies = [accuracy_beside(result.best, metric) for result in results]
    accuracy = [f"its\n{ACCURACY}"] if any(value is not None for value in accuracies) else []
    names = Counter(key.rpartition(".")[2] for key in keys)
    columns = [metric, *([ACCURACY] if accuracy else [])]
    rows = [_ranking_cells(rank, r, columns, epochs) for rank, r in enumerate(results, start=1)]

    def build(shown: int) -> Table:
        """Returns the table with the first `shown` sampled keys."""
        table = make_table(
            *("#", "trial", "state", f"best\n{metric}", *accuracy, "at\nepoch", "epochs"),
            title=f"trials by {metric} of their best epoch",
        )
        for key in keys[:shown]:
            name = key.rpartition(".")[2]
            heading = name if names[name] == 1 else key
            table.add_column(heading, justify="right", min_width=MIN_WIDTH)
        for row, result in list(zip(rows, results, strict=True))[:MAX_TRIALS]:
            values = result.values
            sampled = [ShortenedText(_format_sampled(values.get(key))) for key in keys[:shown]]
            table.add_row(*row, *sampled)
        table.caption = _describe_hidden(len(results), len(keys) - shown)
        return table

    return fit_columns(build, len(keys), console, table_width())


def _ranking_cells(rank: int, result: TrialResult, metrics: list[str], epochs: int) -> list[str]:
    """Returns the cells of a trial that do not depend on the space."""
    record, best, last = result.record, result.best, result.last
    return [
        str(rank),
        record.id,
        f"{record.state}, added" if record.added else record.state,
        *(format_metric(best, metric) for metric in metrics),
        "-" if best is None else str(best["epoch"]),
        f"{0 if last is None else last['epoch']}/{record.epochs(epochs)}",
    ]


def _describe_hidden(trials: int, values: int) -> str | None:
    more = [f"{trials - MAX_TRIALS} more trials"] if trials > MAX_TRIALS else []
    more += [f"{count_of(values, 'more value')} per trial"] if values else []
    return f"{', '.join(more)} in trials.csv" if more else None


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
            configuration.label,
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
        row = result.own_best or {}
        table.add_row(result.record.id, *(format_value(float(row[name])) for name in names))
    return table
