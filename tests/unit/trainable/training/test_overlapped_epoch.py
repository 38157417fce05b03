"""An epoch that is started before it is asked for."""

import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainable.ray_trial.trial_run import TrialRun
from trainable.training.epoch import drain
from trainable.training.overlapped_epoch import OverlappedEpoch
from trainable.training.seeding import seed_everything
from trainable.training.trainer import Trainer

BETWEEN_S = 100_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that advances by a second whenever it is read; call it to advance it by more."""
    seconds = itertools.count()
    leaps: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: next(seconds) + sum(leaps))
    return leaps.append


@pytest.mark.parametrize("begun", range(0, 9, 2))
def test_waiting_time_does_not_count_as_epoch_time(
    tiny_trainer: Callable[..., Trainer], clock: Callable[[float], None], begun: int
) -> None:
    trainer = tiny_trainer()
    ahead = OverlappedEpoch(trainer)
    for _ in range(begun):
        ahead.take_step()
    clock(BETWEEN_S)
    row = drain(ahead.finish())
    assert 0 < row["epoch_s"] < BETWEEN_S
    assert row["images_per_s"] > trainer.source.size("train") / BETWEEN_S


def test_a_slow_scheduler_does_not_count_as_epoch_time(
    trial_config: Callable[..., dict[str, Any]],
    tmp_path: Path,
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = TrialRun(trial_config(checkpoint={"enabled": True, "save_frequency": 1}), "a", tmp_path)
    for _ in range(3):
        assert run.step()["epoch_s"] < BETWEEN_S
        clock(BETWEEN_S)


@pytest.mark.parametrize("begun", [1, 4])
def test_random_numbers_drawn_between_steps_change_nothing(
    tiny_trainer: Callable[..., Trainer], assert_same: Callable[[Any, Any], None], begun: int
) -> None:
    trainers = [tiny_trainer(model={"name": "drawing_models:noisy"}) for _ in range(2)]
    trainers[0].run_epoch()
    ahead = OverlappedEpoch(trainers[1])
    for _ in range(begun):
        ahead.take_step()
        seed_everything(99)
        _ = random.random(), np.random.randn(), torch.rand(())
    drain(ahead.finish())
    assert_same(trainers[1].state_dict(), trainers[0].state_dict())


def test_the_cuda_generator_does_not_change(
    tiny_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An object without methods: any call would fail.
    monkeypatch.setattr(torch.cuda, "default_generators", (object(),))
    ahead = OverlappedEpoch(tiny_trainer(model={"name": "drawing_models:noisy"}))
    ahead.take_step()
    row = drain(ahead.finish())
    assert row["epoch"] == 1


class GpuEvent:
    """Fake of an event of the GPU."""

    def __init__(self) -> None:
        self.reached = False

    def query(self) -> bool:
        return self.reached

    def synchronize(self) -> None:
        self.reached = True


def test_an_epoch_reports_whether_it_waits_for_the_gpu(
    tiny_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, event = tiny_trainer(), GpuEvent()
    epoch_steps = trainer.epoch_steps

    def steps() -> Any:
        yield 5
        yield event
        return (yield from epoch_steps())

    monkeypatch.setattr(trainer, "epoch_steps", steps)
    ahead = OverlappedEpoch(trainer)
    assert not ahead.waits_for_gpu
    ahead.take_step()
    assert not ahead.waits_for_gpu
    ahead.take_step()
    assert ahead.waits_for_gpu
    event.reached = True
    assert not ahead.waits_for_gpu
    ahead.take_step()
    event.reached = False
    assert not ahead.waits_for_gpu
    assert drain(ahead.finish())["epoch"] == 1
