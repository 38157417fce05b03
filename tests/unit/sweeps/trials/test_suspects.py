"""A trial that kills its shared worker is given up; the other trials of the worker are not."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from sweeps.cluster.gpu_workers import GpuWorkerPool
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.retries import RetryPolicy
from trainable.ray_trial.shared_worker import SharedWorker

SHARE = {"cpu": 1.0, "gpu": 0.25}
TRIALS = [f"trial{number}" for number in range(4)]


class Sweep:
    """Trials that share a worker, and their failures, without Ray."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        layout = SweepLayout(directory)
        records = {key: TrialRecord(key, 0, key, {}, state="running") for key in TRIALS}
        for record in records.values():
            layout.write_trial(record)
        pool = GpuWorkerPool(SHARE, [{"CPU": 8.0, "GPU": 1.0}], len(TRIALS))
        switch = PauseSwitch(layout.stop_file, None)
        self.retries = RetryPolicy(layout, records, FailurePolicy(), SHARE, switch, pool)
        self.trials = {
            key: SimpleNamespace(
                trial_id=key,
                last_result={},
                checkpoint=None,
                config=copy.deepcopy(config),
                timeout_s=None,
            )
            for key in TRIALS
        }
        self.worker = SharedWorker(capacity=len(TRIALS), threads=1)
        self.open: set[str] = set()

    def round(self, deadly: str) -> None:
        """Runs an epoch of all trials that the worker takes, or kills the worker."""
        self.open |= {
            key
            for key, trial in self.trials.items()
            if key not in self.open and self.worker.open(key, trial.config, None)
        }
        if deadly not in self.open:
            for key in self.open:
                epoch = self.worker.step(key)["epoch"]
                self.trials[key].last_result = {"epoch": epoch}
            return
        self.worker = SharedWorker(capacity=len(TRIALS), threads=1)
        failed, self.open = self.open, set()
        for key in failed:
            self._fail(key)

    def _fail(self, key: str) -> None:
        error = RayTaskError("train", "LostWorkerError: the worker has died", RuntimeError())
        trial: Any = self.trials[key]
        if not self.retries(trial, error).retry:
            del self.trials[key]


@pytest.mark.parametrize(
    "deadly",
    [TRIALS[1], *(pytest.param(t, marks=pytest.mark.slow) for t in TRIALS if t != TRIALS[1])],
)
def test_a_deadly_trial_does_not_use_up_the_retries_of_the_others(
    tmp_path: Path, trial_config: Callable[..., dict[str, Any]], deadly: str
) -> None:
    sweep = Sweep(tmp_path, trial_config(training={"epochs": 100}))
    for _ in range(20):
        sweep.round(deadly)
    assert list(sweep.trials) == [key for key in TRIALS if key != deadly]
