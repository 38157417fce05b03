"""Writes a sweep's ranking as `trials.csv` and the best trial's config."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from sweeps.results.aggregate import has_repeats, pareto_front
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.layout import SweepLayout
from trainable.atomic_files import write_text


def ranking_rows(results: list[TrialResult], metric: str) -> list[dict[str, Any]]:
    """Returns one row per trial, in the given order, each with all of `ranking_columns`."""
    keys, columns = sampled_keys(results), ranking_columns(results, metric)
    repeated, has_added = has_repeats(results), _has_added(results)
    rows = []
    for rank, result in enumerate(results, start=1):
        record, checkpoint = result.record, result.checkpoint
        best, last = result.best or {}, result.last or {}
        values = [
            rank,
            record.id,
            record.number,
            record.state,
            best.get(metric),
            best.get("epoch"),
            last.get(metric),
            last.get("epoch", 0),
            *(_configuration_values(result) if repeated else []),
            *([str(record.added).lower()] if has_added else []),
            *(result.values.get(key) for key in keys),
            record.directory,
            None if checkpoint is None else str(checkpoint.relative_to(result.directory.parent)),
        ]
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def ranking_columns(results: list[TrialResult], metric: str) -> list[str]:
    """Returns the columns of `ranking_rows`, including every sampled key."""
    head = ["rank", "trial", "number", "state", metric, "best_epoch", "last_" + metric, "epochs"]
    repeats = ["configuration", "repeat", "final"] if has_repeats(results) else []
    added = ["added"] if _has_added(results) else []
    return [*head, *repeats, *added, *sampled_keys(results), "directory", "checkpoint"]


def _has_added(results: list[TrialResult]) -> bool:
    """Whether a trial was added by hand."""
    return any(result.record.added for result in results)


def sampled_keys(results: list[TrialResult]) -> list[str]:
    """Returns every sampled key, in the order in which it first appears, and that of the fold."""
    records = [result.record for result in results]
    sampled = dict.fromkeys(key for record in records for key in record.values)
    return list(sampled | dict.fromkeys(key for record in records for key in record.current))


def to_csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Returns rows as CSV; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_files(
    layout: SweepLayout, results: list[TrialResult], metrics: Mapping[str, str]
) -> None:
    """Writes `trials.csv` and, if any trial has a best epoch, `best_config.yaml`.

    Both have the values that the best epoch of a trial was trained with.

    Args:
        layout: The sweep directory.
        results: The sweep's trials, best first.
        metrics: Name -> `max` or `min`; the first one ranks. If there are several, the column
            `pareto` marks the trials of the Pareto front.
    """
    metric, *others = metrics
    rows, columns = ranking_rows(results, metric), ranking_columns(results, metric)
    if others:
        front = {result.record.id for result in pareto_front(results, metrics)}
        columns += [*others, "pareto"]
        for row, result in zip(rows, results, strict=True):
            row |= {name: (result.own_best or {}).get(name) for name in others}
            row["pareto"] = str(result.record.id in front).lower()
    write_text(layout.trials_csv, to_csv(rows, columns))
    config = results[0].config_text() if results and results[0].best else None
    if config is not None:
        write_text(layout.best_config, config)


def _configuration_values(result: TrialResult) -> list[Any]:
    record = result.record
    return [record.configuration_id, record.repeat, str(record.final).lower()]
