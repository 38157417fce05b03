"""An epoch that is begun before anyone asks for it."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.ahead import EpochAhead
from trainable.epoch import drain
from trainable.trainer import Trainer
from trainable.trial_run import TrialRun

BETWEEN_S = 100_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that goes on by a second whenever it is read, and by leaps."""
    seconds = itertools.count()
    leaps: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: next(seconds) + sum(leaps))
    return leaps.append


@pytest.mark.parametrize("begun", range(0, 9, 2))
def test_the_time_until_it_is_asked_for_is_not_its_own(
    tiny_trainer: Callable[..., Trainer], clock: Callable[[float], None], begun: int
) -> None:
    trainer = tiny_trainer()
    ahead = EpochAhead(trainer)
    for _ in range(begun):
        ahead.take_step()
    clock(BETWEEN_S)
    row = drain(ahead.rest())
    assert 0 < row["epoch_s"] < BETWEEN_S
    assert row["images_per_s"] > trainer.source.size("train") / BETWEEN_S


def test_a_trial_whose_scheduler_thinks_for_long_is_not_slow(
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
