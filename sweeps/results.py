"""Reads a sweep from its files, running or ended, and ranks its trials. Needs no Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeps.layout import SweepLayout, TrialRecord
from trainable.history import read_rows

METRICS_FILE = "metrics.jsonl"
BEST_CHECKPOINT = Path("checkpoints", "best.pt")
LATEST_CHECKPOINT = Path("checkpoints", "latest.pt")


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


def read_results(directory: Path, metric: str, mode: str) -> list[TrialResult]:
    """Every trial of a sweep, best first by its best epoch; those without one come last.

    Trials of the same values stand together, by their mean: that of the final ones where there
    are any, which come before all others.

    Args:
        directory: The sweep's.
        metric: A metric that trials report.
        mode: `max` or `min`.

    Raises:
        SweepError: A trial's record is not readable.
    """
    records = SweepLayout(directory).read_trials()
    results = [read_result(directory, record, metric, mode) for record in records]
    sign = 1 if mode == "max" else -1
    scores: dict[tuple[int, bool], list[float]] = {}
    for result in results:
        if result.best is not None:
            at = result.record.group, result.record.final
            scores.setdefault(at, []).append(-sign * float(result.best[metric]))

    def order(result: TrialResult) -> tuple[Any, ...]:
        group = result.record.group
        finals = scores.get((group, True))
        standing = finals or scores.get((group, False)) or [0.0]
        own = 0.0 if result.best is None else -sign * float(result.best[metric])
        number = result.record.number
        return result.best is None, not finals, fmean(standing), group, own, number

    return sorted(results, key=order)
