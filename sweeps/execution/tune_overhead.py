"""Settings that keep Tune from spending time and output on what a sweep does itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import ProgressReporter
from ray.tune.progress_reporter import TrialProgressCallback

from sweeps.cluster.session import ENVIRONMENT
from sweeps.notebook.display import in_notebook

MAX_PENDING_TRIALS = "TUNE_MAX_PENDING_TRIALS_PG"
MOST_PENDING_TRIALS = 1000
"""Limit of Tune for trials that it has and that do not run. It is read once, while the limit of
live trials, which `TrialSource` keeps, may be raised."""
SNAPSHOT_INTERVAL = "TUNE_GLOBAL_CHECKPOINT_S"
SNAPSHOTS = ("experiment_state-*.json", "searcher-state-*.pkl", "tuner.pkl")
"""Names of the files that Tune writes into a sweep's directory."""
SNAPSHOT_INTERVAL_S_PER_TRIAL = 0.3
"""A snapshot takes a few ms per trial; at this interval that is about 1% of the time."""


class NoProgress(TrialProgressCallback):
    """Prints nothing; Tune adds its own progress callback only if there is none of this class.

    Tune's callback would report a trial as completed that a pause releases before its first epoch.
    """

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Prints nothing."""

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Prints nothing."""

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Prints nothing."""


class SilentReporter(ProgressReporter):
    """Reports nothing; in a notebook, Tune's own one clears the output of the cell."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Returns False."""
        del trials, done
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Reports nothing."""


def choose_reporter() -> ProgressReporter | None:
    """Returns the reporter for Tune, which refuses one outside of notebooks."""
    return SilentReporter() if in_notebook() else None


def remove_snapshots(directory: Path) -> None:
    """Deletes Tune's snapshots of a sweep, which are never read."""
    for pattern in SNAPSHOTS:
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


@contextmanager
def reduced_overhead(*, limit: int, trials: int) -> Iterator[None]:
    """Sets Tune's environment variables for the duration of `Tuner.fit`.

    Args:
        limit: Most live trials. Without it, Tune asks for one trial after another.
        trials: Number of trials of the sweep; the more, the rarer are Tune's snapshots.
    """
    os.environ[MAX_PENDING_TRIALS] = str(max(limit, MOST_PENDING_TRIALS))
    # A snapshot that a full disk refuses is not missed.
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    default = ENVIRONMENT[SNAPSHOT_INTERVAL]
    is_default = os.environ.get(SNAPSHOT_INTERVAL, default) == default  # else the user's own
    if is_default:
        interval_s = max(float(default), SNAPSHOT_INTERVAL_S_PER_TRIAL * trials)
        os.environ[SNAPSHOT_INTERVAL] = str(interval_s)
    try:
        yield
    finally:
        if is_default:
            os.environ[SNAPSHOT_INTERVAL] = default
