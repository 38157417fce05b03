"""A trial of which its process dies, among others: it is given up, they are not."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from sweeps.cluster.gpu_workers import Packing
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.retries import Retries
from trainable.ray_trial.shared_worker import SharedWorker

SHARE = {"cpu": 1.0, "gpu": 0.25}
TRIALS = [f"trial{number}" for number in range(4)]


class Sweep:
    """The failures of trials that share a process, without Ray."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        layout = SweepLayout(directory)
        records = {key: TrialRecord(key, 0, key, {}, state="running") for key in TRIALS}
        for record in records.values():
            layout.write_trial(record)
        packing = Packing(SHARE, [{"CPU": 8.0, "GPU": 1.0}], len(TRIALS))
        switch = PauseSwitch(layout.stop_file, None)
        self.retries = Retries(layout, records, FailurePolicy(), SHARE, switch, packing)
        self.trials = {
            key: SimpleNamespace(
                trial_id=key, last_result={}, checkpoint=None, config=copy.deepcopy(config)
            )
            for key in TRIALS
        }
        self.worker = SharedWorker(places=len(TRIALS), threads=1)
        self.here: set[str] = set()

    def round(self, deadly: str) -> None:
        """An epoch of all trials that are let in, or the death of their process."""
        self.here |= {
            key
            for key, trial in self.trials.items()
            if key not in self.here and self.worker.open(key, trial.config, None)
        }
        if deadly not in self.here:
            for key in self.here:
                epoch = self.worker.step(key)["epoch"]
                self.trials[key].last_result = {"epoch": epoch}
            return
        self.worker = SharedWorker(places=len(TRIALS), threads=1)
        lost, self.here = self.here, set()
        for key in lost:
            self._lost(key)

    def _lost(self, key: str) -> None:
        error = RayTaskError("train", "LostWorkerError: it is gone", RuntimeError())
        trial: Any = self.trials[key]
        if not self.retries(trial, error).retry:
            del self.trials[key]


@pytest.mark.parametrize("deadly", TRIALS)
def test_it_does_not_use_up_the_retries_of_its_neighbours(
    tmp_path: Path, trial_config: Callable[..., dict[str, Any]], deadly: str
) -> None:
    sweep = Sweep(tmp_path, trial_config(training={"epochs": 100}))
    for _ in range(20):
        sweep.round(deadly)
    assert list(sweep.trials) == [key for key in TRIALS if key != deadly]
