"""A trial whose worker dies while it is saved at a pause trains its last epochs again."""

import itertools
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial

from sweeps.schedulers.build import build_scheduler
from sweeps.spec.schedulers import ASHA, BOHBHyperBand, HyperBand
from sweeps.sweep_dir.event_log import EventLog
from sweeps.trials.failures import RetryDecision
from sweeps.trials.trial import SweepTrial
from tests.support.fake_tune import Killed, PendingSave, Process, Sweep, decisions, ends

EPOCHS, TRIALS = 4, 10
SECTIONS: dict[str, Any] = {
    "hyperband": HyperBand(name="hyperband", reduction_factor=2),
    "hyperband_short": HyperBand(name="hyperband", reduction_factor=2, max_t=2),
    "bohb": BOHBHyperBand(name="bohb", reduction_factor=2),
}
Moment = tuple[int, int]
"""(number of a trial, epoch)."""


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class LostError(Exception):
    """The trial's worker has died."""


class LosingProcess(Process):
    """Run in which one trial's worker dies once, while the trial is saved at a pause."""

    def __init__(self, sweep: Sweep, lost: Moment, back: int, **more: Any) -> None:
        super().__init__(sweep, **more)
        self._lost: Moment | None = lost
        self._back = back
        self._starts: dict[str, int] = {}
        """Trial that is retried -> epoch of the checkpoint that its worker loads."""

    def _schedule_trial_save(
        self, trial: SweepTrial, result: dict[str, Any] | None = None
    ) -> PendingSave:
        if self._lost == (self._number(trial), self._epochs[trial.trial_id]):
            self._lost = None
            raise LostError
        return super()._schedule_trial_save(trial, result)

    def _start(self, trial: SweepTrial) -> None:
        super()._start(trial)
        epoch = self._epochs[trial.trial_id]
        self._epochs[trial.trial_id] = self._starts.pop(trial.trial_id, epoch)

    def _train(self, trial: Any) -> None:
        try:
            super()._train(trial)
        except LostError:
            self._retry(trial)

    def _retry(self, trial: SweepTrial) -> None:
        """Retries a trial from an earlier checkpoint, as Tune does."""
        trial._decision = RetryDecision(retry=True)
        controller: Any = self
        self.scheduler.on_trial_error(controller, trial)
        trial.set_status(Trial.PENDING)
        self._trials.remove(trial)
        self._trials.append(trial)
        self._starts[trial.trial_id] = max(0, self._epochs[trial.trial_id] - self._back)
        self.scheduler.on_trial_add(controller, trial)


def new_sweep(directory: Path, name: str, slots: int) -> Sweep:
    def make() -> Any:
        return build_scheduler(SECTIONS[name], {}, metric="val_acc", mode="max", max_t=EPOCHS)

    limit = slots if name == "bohb" else TRIALS
    return Sweep(directory, make, TRIALS, EPOCHS, slots=slots, limit=limit, save_frequency=3)


def pauses(sweep: Sweep) -> list[Moment]:
    """Returns when trials were paused."""
    number = {record.id: record.number for record in sweep.layout.read_trials()}
    return [(number[id_], epoch) for id_, epoch, what in decisions(sweep) if what == "PAUSE"]


@pytest.mark.parametrize(
    ("name", "slots", "back"),
    [
        pytest.param(
            *case, marks=[] if case in {("hyperband", 2, 2), ("bohb", 2, 1)} else pytest.mark.slow
        )
        for case in (
            (name, slots, back)
            for name, slots in (
                ("hyperband", 1),
                ("hyperband", 2),
                ("hyperband", 4),
                ("hyperband_short", 2),
                ("bohb", 2),
            )
            for back in (1, 2)
        )
    ],
)
def test_the_sweep_ends_as_if_the_worker_had_not_died(
    name: str, slots: int, back: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = new_sweep(tmp_path / "whole", name, slots)
    Process(whole).run()
    moments = pauses(whole)
    assert len(moments) >= 5
    for lost in moments:
        sweep = new_sweep(tmp_path / "{}_{}".format(*lost), name, slots)
        LosingProcess(sweep, lost, back).run()
        if name != "bohb":  # its brackets are filled in the order in which trials are created
            assert ends(sweep) == ends(whole), lost
        before = decisions(sweep)
        Process(sweep).run()
        assert decisions(sweep) == before
    assert "decides differently" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_kill_at_any_event_afterwards_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = new_sweep(tmp_path / "whole", "hyperband", 2)
    Process(whole).run()
    moments = [moment for moment in pauses(whole) if moment[1] == 2]
    assert moments
    for lost, kill_at in itertools.product(moments[:1], range(TRIALS + 1, 60)):
        sweep = new_sweep(tmp_path / "{}_{}_{}".format(*lost, kill_at), "hyperband", 2)
        try:
            LosingProcess(sweep, lost, 2, kill_at=kill_at).run()
        except Killed:
            Process(sweep).run()
        states = {number: state for number, (state, _) in ends(sweep).items()}
        assert states == {number: state for number, (state, _) in ends(whole).items()}
    assert "back" in {event.kind for event in EventLog(sweep.layout.events_file).read()}
    assert "decides differently" not in capsys.readouterr().out


def test_the_brackets_of_asha_follow_from_the_seed() -> None:
    section = ASHA(name="asha", reduction_factor=2, brackets=3)

    def brackets(seed: int) -> list[int]:
        asha: Any = build_scheduler(section, {}, metric="val_acc", mode="max", max_t=16, seed=seed)
        for number in range(12):
            asha.on_trial_add(None, SimpleNamespace(trial_id=str(number)))
        return [asha._brackets.index(bracket) for bracket in asha._trial_info.values()]

    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    first = brackets(2**40)
    assert np.random.get_state()[1].tolist() == state
    assert len(set(first)) > 1
    np.random.seed(6)
    assert brackets(2**40) == first != brackets(1)
