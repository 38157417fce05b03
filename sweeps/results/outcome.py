"""The outcome of one run of a sweep, as it is returned and printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import Reason, SweepRecord
from trainable.config.sections.metrics import Mode


@dataclass(frozen=True)
class Outcome:
    """The result of a sweep that has finished or is paused."""

    directory: Path
    record: SweepRecord
    results: list[TrialResult]
    """Best first."""
    metrics: dict[str, Mode]
    """Metric -> mode; the first one ranks."""
    epochs: int
    """Epochs of a trial whose values do not include `training.epochs`."""
    grid: Any
    """Tune's own `ResultGrid`; None if a full disk has ended Tune."""

    @property
    def metric(self) -> str:
        """The metric that ranks the trials."""
        return next(iter(self.metrics))

    @property
    def paused(self) -> Reason | None:
        """The reason why the sweep is paused; None if it has finished."""
        return self.record.reason if self.record.state == "paused" else None
