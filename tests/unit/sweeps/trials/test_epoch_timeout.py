"""The worker of a trial that hangs is ended, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from ray.tune.experiment import Trial

from sweeps.trials.epoch_timeout import EpochTimeout
from sweeps.trials.trial import SweepTrial


@pytest.fixture
def time_s() -> list[float]:
    return [0.0]


def running(trial_id: str) -> SweepTrial:
    trial = SweepTrial("trainable", trial_id=trial_id, stub=True)
    trial.status = Trial.RUNNING
    trial.temporary_state.ray_actor = f"actor of {trial_id}"
    return trial


def test_only_a_trial_without_an_epoch_for_so_long_loses_its_worker(time_s: list[float]) -> None:
    killed: list[Any] = []
    _, training, paused = trials = [running(name) for name in ("hangs", "trains", "waits")]
    callback = EpochTimeout(60, killed.append, lambda: time_s[0])
    for trial in trials:
        callback.on_trial_start(0, trials, trial)
    paused.status = Trial.PAUSED
    time_s[0] = 50
    callback.on_trial_result(0, trials, training, {"epoch": 1})
    callback.on_step_begin(1, trials)
    assert killed == []
    time_s[0] = 70
    callback.on_step_begin(2, trials)
    callback.on_step_begin(3, trials)
    assert killed == ["actor of hangs"]
    assert [trial.timeout_s for trial in trials] == [60, None, None]
    time_s[0] = 111
    callback.on_step_begin(4, trials)
    assert killed == ["actor of hangs", "actor of trains"]


def test_time_for_which_the_driver_has_taken_no_results_does_not_count(
    time_s: list[float],
) -> None:
    killed: list[Any] = []
    trial = running("trains")
    callback = EpochTimeout(60, killed.append, lambda: time_s[0])
    callback.on_trial_start(0, [trial], trial)
    time_s[0] = 100
    callback.exclude(70)
    callback.on_step_begin(1, [trial])
    assert killed == []
    time_s[0] = 131
    callback.on_step_begin(2, [trial])
    assert killed == ["actor of trains"]


def test_a_retry_gets_as_much_time_again(time_s: list[float]) -> None:
    killed: list[Any] = []
    trial = running("hangs")
    callback = EpochTimeout(60, killed.append, lambda: time_s[0])
    for start in (0, 100):
        time_s[0] = start
        callback.on_trial_start(0, [trial], trial)
        time_s[0] = start + 59
        callback.on_step_begin(1, [trial])
        assert len(killed) == start / 100
        time_s[0] = start + 61
        callback.on_step_begin(2, [trial])
    assert len(killed) == 2
