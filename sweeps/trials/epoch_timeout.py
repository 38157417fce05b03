"""Ends the worker of a trial that hangs (`failure.epoch_timeout`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.trials.trial import SweepTrial

Kill = Callable[[Any], None]


class EpochTimeout(Callback):
    """Kills the worker of a trial that completes no epoch for too long.

    Tune then reports the loss of the worker, and `RetryPolicy` records it as a `timeout`.

    Args:
        timeout_s: Longest time between the start of a trial and an epoch, and between two epochs;
            None means any. It may change while the sweep runs.
        kill: Ends a worker.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        timeout_s: float | None,
        kill: Kill = ray.kill,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s = timeout_s
        self._kill = kill
        self._clock = clock
        self._since: dict[str, float] = {}
        """Trial that runs -> when it started or completed its last epoch."""

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Begins to wait for the trial's next epoch."""
        del iteration, trials, info
        self._since[trial.trial_id] = self._clock()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Begins to wait for the trial's next epoch."""
        del iteration, trials, result, info
        self._since[trial.trial_id] = self._clock()

    def exclude(self, seconds: float) -> None:
        """Does not count a time for which the driver has taken no results."""
        self._since = {trial: since + seconds for trial, since in self._since.items()}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Kills the workers of trials that have taken too long."""
        del iteration, info
        if self.timeout_s is None:
            return
        now = self._clock()
        overdue = {id_ for id_, since in self._since.items() if now - since > self.timeout_s}
        if not overdue:
            return
        for trial in trials:
            if trial.trial_id not in overdue:
                continue
            del self._since[trial.trial_id]
            actor = trial.temporary_state.ray_actor
            if trial.status == Trial.RUNNING and actor and isinstance(trial, SweepTrial):
                trial.timeout_s = self.timeout_s
                self._kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}
