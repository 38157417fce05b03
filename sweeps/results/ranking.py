"""Turns a sweep's results into a table, a CSV file and the best trial's config."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.measure import Measurement
from rich.table import Table

from sweeps.results.aggregate import has_repeats, pareto_front, titled_table
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal.console import console
from trainable.atomic_files import write_text

ROWS_SHOWN = 20
UNLIMITED = 10_000
"""Columns of a terminal that has room for everything."""


def table(results: list[TrialResult], metric: str) -> Table:
    """The best trials, ranked by their best epoch, with as many values as there is room for."""
    keys = _sampled_keys(results)
    for shown in range(len(keys), 0, -1):
        drawn = _table(results, metric, keys, shown)
        if _needed(drawn).maximum > console.width:
            for column in drawn.columns[-shown:]:
                column.header = re.sub(r"([_.])", r"\1\n", str(column.header))
        if _needed(drawn).minimum <= console.width:
            return drawn
    return _table(results, metric, keys, 0)


def _needed(drawn: Table) -> Measurement:
    """The columns of a terminal that a table needs."""
    return Measurement.get(console, console.options.update_width(UNLIMITED), drawn)


def _table(results: list[TrialResult], metric: str, keys: list[str], shown: int) -> Table:
    """The table with the first so many of the sampled keys."""
    drawn = titled_table(f"trials by {metric} of their best epoch")
    drawn.add_column("#", justify="right", no_wrap=True)
    drawn.add_column("trial", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    for name in (metric, "epoch", "of"):
        drawn.add_column(name, justify="right", no_wrap=True)
    names = Counter(key.rpartition(".")[2] for key in keys)
    for key in keys[:shown]:
        name = key.rpartition(".")[2]
        heading = name if names[name] == 1 else key
        drawn.add_column(heading, justify="right", overflow="fold", min_width=8)
    for rank, result in enumerate(results[:ROWS_SHOWN], start=1):
        best, last = result.best, result.last
        drawn.add_row(
            str(rank),
            result.record.id,
            result.record.state,
            "-" if best is None else f"{best[metric]:.4f}",
            "-" if best is None else str(best["epoch"]),
            "-" if last is None else str(last["epoch"]),
            *(_short(result.record.current.get(key)) for key in keys[:shown]),
        )
    left_out = len(keys) - shown
    more = [f"{len(results) - ROWS_SHOWN} more"] if len(results) > ROWS_SHOWN else []
    more += [f"{left_out} more value{'s' if left_out > 1 else ''} of each"] if left_out else []
    drawn.caption = f"{', '.join(more)} in trials.csv" if more else None
    return drawn


def ranking(results: list[TrialResult], metric: str) -> list[dict[str, Any]]:
    """A row a trial, in the order given, every row with all of `ranking_columns`."""
    keys, columns = _sampled_keys(results), ranking_columns(results, metric)
    rows = []
    for rank, result in enumerate(results, start=1):
        best, last = result.best or {}, result.last or {}
        found = result.checkpoint
        values = [
            rank,
            result.record.id,
            result.record.number,
            result.record.state,
            best.get(metric),
            best.get("epoch"),
            last.get(metric),
            last.get("epoch", 0),
            *(_copy(result) if has_repeats(results) else []),
            *(result.record.current.get(key) for key in keys),
            result.record.directory,
            None if found is None else str(found.relative_to(result.directory.parent)),
        ]
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def ranking_columns(results: list[TrialResult], metric: str) -> list[str]:
    """The columns of `ranking`, every sampled key among them."""
    head = ["rank", "trial", "number", "state", metric, "best_epoch", "last_" + metric, "epochs"]
    copies = ["configuration", "repeat", "final"] if has_repeats(results) else []
    return [*head, *copies, *_sampled_keys(results), "directory", "checkpoint"]


def csv_text(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as CSV; what is absent is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_files(
    layout: SweepLayout, results: list[TrialResult], metrics: Mapping[str, str]
) -> None:
    """Writes `trials.csv` and, if any trial has a best epoch, `best_config.yaml`.

    Args:
        layout: The sweep's directory.
        results: Best first.
        metrics: Name -> `max` or `min`; the first one ranks. With several of them, `pareto` says
            which trials no other one beats.
    """
    metric, *more = metrics
    rows, columns = ranking(results, metric), ranking_columns(results, metric)
    if more:
        front = {result.record.id for result in pareto_front(results, metrics)}
        columns += [*more, "pareto"]
        for row, result in zip(rows, results, strict=True):
            row |= {name: (result.best or {}).get(name) for name in more}
            row["pareto"] = str(result.record.id in front).lower()
    write_text(layout.trials_csv, csv_text(rows, columns))
    config = results[0].directory / "config.yaml" if results and results[0].best else None
    if config is not None and config.exists():
        write_text(layout.best_config, config.read_text(encoding="utf-8"))


def _copy(result: TrialResult) -> list[Any]:
    record = result.record
    return [record.configuration_id, record.repeat, str(record.final).lower()]


def _sampled_keys(results: list[TrialResult]) -> list[str]:
    """Every sampled key, in the order in which trials have them."""
    return list(dict.fromkeys(key for result in results for key in result.record.values))


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
