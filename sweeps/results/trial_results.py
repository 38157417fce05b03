"""Reads a sweep from its files, running or ended, and ranks its trials. Needs no Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, LATEST_FILE, METRICS_FILE

BEST_CHECKPOINT = Path(CHECKPOINTS, BEST_FILE)
LATEST_CHECKPOINT = Path(CHECKPOINTS, LATEST_FILE)


@dataclass(frozen=True)
class TrialResult:
    """One trial as its files tell it."""

    record: TrialRecord
    directory: Path
    rows: list[dict[str, Any]]
    """Metrics, a row an epoch."""
    best: dict[str, Any] | None
    """The row of its best epoch; None if no epoch has a finite metric."""

    @property
    def last(self) -> dict[str, Any] | None:
        """The row of its last epoch."""
        return self.rows[-1] if self.rows else None

    @property
    def checkpoint(self) -> Path | None:
        """Its `best.pt`, else its `latest.pt`, else None."""
        for name in (BEST_CHECKPOINT, LATEST_CHECKPOINT):
            if (self.directory / name).exists():
                return self.directory / name
        return None


def best_row(rows: list[dict[str, Any]], metric: str, mode: str) -> dict[str, Any] | None:
    """The row with the best finite metric; of equals the earliest epoch."""
    sign = 1 if mode == "max" else -1
    usable = [row for row in rows if row.get(metric) is not None and math.isfinite(row[metric])]
    return max(usable, key=lambda row: (sign * row[metric], -row["epoch"]), default=None)


def read_result(directory: Path, record: TrialRecord, metric: str, mode: str) -> TrialResult:
    """One trial of a sweep, from its directory there."""
    path = directory / record.directory
    rows = read_rows(path / METRICS_FILE)
    return TrialResult(record, path, rows, best_row(rows, metric, mode))


class TrialRanking:
    """Where the trials of a sweep stand: best first by their best epoch, those without one last.

    Trials of the same values stand together, by their mean: that of the final ones where there
    are any, which come before all others.

    Args:
        metric: A metric that trials report.
        mode: `max` or `min`.
    """

    def __init__(self, metric: str, mode: str) -> None:
        self._metric = metric
        self._sign = -1 if mode == "max" else 1
        self._scores: dict[tuple[int, bool], list[float]] = {}

    def add(self, result: TrialResult) -> None:
        """Takes a trial in."""
        if result.best is not None:
            at = result.record.configuration_id, result.record.final
            self._scores.setdefault(at, []).append(self._own(result))

    def order(self, result: TrialResult) -> tuple[Any, ...]:
        """What trials are sorted by, when all that count have been taken in."""
        group, number = result.record.configuration_id, result.record.number
        finals = self._scores.get((group, True))
        standing = finals or self._scores.get((group, False)) or [0.0]
        return result.best is None, not finals, fmean(standing), group, self._own(result), number

    def _own(self, result: TrialResult) -> float:
        return 0.0 if result.best is None else self._sign * float(result.best[self._metric])


def read_results(directory: Path, metric: str, mode: str) -> list[TrialResult]:
    """Every trial of a sweep, best first: see `TrialRanking`.

    Args:
        directory: The sweep's.
        metric: A metric that trials report.
        mode: `max` or `min`.

    Raises:
        SweepError: A trial's record is not readable.
    """
    records = SweepLayout(directory).read_trials()
    results = [read_result(directory, record, metric, mode) for record in records]
    standings = TrialRanking(metric, mode)
    for result in results:
        standings.add(result)
    return sorted(results, key=standings.order)
