"""Options of one run of a sweep, which are in no file of the sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import TrialRecord


@dataclass(frozen=True)
class TrialEvent:
    """A trial that has completed an epoch or has ended."""

    record: TrialRecord
    """Its record at that moment."""
    directory: Path
    row: dict[str, Any]
    """The metrics of its last epoch; empty if it has none."""
    metric: str
    """The metric that ranks the trials."""
    read: Callable[[], TrialResult]
    """Reads the trial's files."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are not in the search file."""

    allow_custom_model: bool = False
    """Whether `model.name` and the sampler may be the user's own code."""
    address: str | None = None
    """The cluster to join, or `auto`; None means `RAY_ADDRESS`, else this machine."""
    on_epoch: Callable[[TrialEvent], None] | None = None
    """Called in the driver after each epoch of a trial."""
    on_trial_end: Callable[[TrialEvent], None] | None = None
    """Called in the driver when a trial has ended."""


DEFAULT_OPTIONS = RunOptions()
"""On this machine, without own code and without callbacks."""
