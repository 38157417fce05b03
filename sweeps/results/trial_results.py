"""Reads the trials of a running or ended sweep from their files and ranks them; without Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from trainable.artifacts.metrics import has_diverged, read_rows
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, LATEST_FILE, METRICS_FILE


@dataclass(frozen=True)
class TrialResult:
    """One trial as its files describe it."""

    record: TrialRecord
    directory: Path
    rows: list[dict[str, Any]]
    """Metrics, one row per epoch."""
    best: dict[str, Any] | None
    """The row of its best epoch; None if no epoch has a finite metric and finite losses."""

    @property
    def last(self) -> dict[str, Any] | None:
        """The row of its last epoch."""
        return self.rows[-1] if self.rows else None

    @property
    def checkpoint(self) -> Path | None:
        """Its `best.pt` if that exists, else its `latest.pt`, else None."""
        for name in (BEST_FILE, LATEST_FILE):
            path = self.directory / CHECKPOINTS / name
            if path.exists():
                return path
        return None


def best_row(rows: list[dict[str, Any]], metric: str, mode: str) -> dict[str, Any] | None:
    """Returns the row with the best metric; among equal ones, the earliest.

    Rows without a finite metric or with a loss that is not finite are left out.
    """
    sign = 1 if mode == "max" else -1
    finite = [row for row in rows if is_scored(row, metric)]
    return max(finite, key=lambda row: (sign * row[metric], -row["epoch"]), default=None)


def is_scored(row: Mapping[str, Any], metric: str) -> bool:
    """Returns whether trials can be compared by the metric of an epoch."""
    value = row.get(metric)
    return value is not None and math.isfinite(value) and not has_diverged(row)


def describe_missing_best(epochs: int) -> str:
    """Returns why a sweep has no best trial, given the number of epochs that were trained."""
    if epochs:
        return "no trial has an epoch with a finite loss"
    return "no trial has completed an epoch"


def read_result(directory: Path, record: TrialRecord, metric: str, mode: str) -> TrialResult:
    """Reads one trial from its directory below the sweep's."""
    path = directory / record.directory
    rows = read_rows(path / METRICS_FILE)
    return TrialResult(record, path, rows, best_row(rows, metric, mode))


class TrialRanking:
    """Ranks the trials of a sweep by their best epochs; trials without one come last.

    Trials of one configuration stay together and are ranked by the mean of their scores.
    Configurations that have final trials come first and are ranked by these alone.

    Args:
        metric: A metric that trials report.
        mode: `max` or `min`.
    """

    def __init__(self, metric: str, mode: str) -> None:
        self._metric = metric
        self._sign = -1 if mode == "max" else 1
        self._scores: dict[tuple[int, bool], list[float]] = {}
        """(configuration, whether final) -> scores, the lowest of which is the best."""

    def add(self, result: TrialResult) -> None:
        """Adds a trial, whose score then counts for its configuration."""
        if result.best is not None:
            key = result.record.configuration_id, result.record.final
            self._scores.setdefault(key, []).append(self._score(result))

    def sort_key(self, result: TrialResult) -> tuple[Any, ...]:
        """Returns the key to sort trials by, best first, once all have been added."""
        record, configuration = result.record, result.record.configuration_id
        final_scores = self._scores.get((configuration, True))
        scores = final_scores or self._scores.get((configuration, False)) or [0.0]
        return (
            result.best is None,
            not final_scores,
            fmean(scores),
            configuration,
            self._score(result),
            record.number,
        )

    def _score(self, result: TrialResult) -> float:
        return 0.0 if result.best is None else self._sign * float(result.best[self._metric])


def read_results(directory: Path, metric: str, mode: str) -> list[TrialResult]:
    """Reads every trial of a sweep, best first (see `TrialRanking`).

    Args:
        directory: The sweep directory.
        metric: A metric that trials report.
        mode: `max` or `min`.

    Raises:
        SweepError: A trial's record cannot be read.
    """
    records = SweepLayout(directory).read_trials()
    results = [read_result(directory, record, metric, mode) for record in records]
    ranking = TrialRanking(metric, mode)
    for result in results:
        ranking.add(result)
    return sorted(results, key=ranking.sort_key)
