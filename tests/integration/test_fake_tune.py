"""The fake of Tune's loop leads to the same event log as Tune itself, for every scheduler.

The population schedulers are missing: the fake does not exploit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.execution.tune_overhead import NoProgress
from sweeps.schedulers.build import build_scheduler
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.schedulers.replay import NullSearcher
from sweeps.spec.schedulers import ASHA, FIFO, BOHBHyperBand, HyperBand, Median
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import SweepTrial, new_trial
from tests.support.fake_tune import Process, Sweep
from tests.support.scripted_trainable import ScriptedTrainable

pytestmark = pytest.mark.ray

EPOCHS = 4
SECTIONS: dict[str, Any] = {
    "fifo": FIFO(),
    "asha": ASHA(name="asha", grace_period=1, reduction_factor=2),
    "median": Median(name="median", grace_period=2, min_samples_required=2),
    "hyperband": HyperBand(name="hyperband", reduction_factor=2),
    "hyperband_short": HyperBand(name="hyperband", reduction_factor=2, max_t=2),
    "bohb": BOHBHyperBand(name="bohb", reduction_factor=2),
}
TRIALS = {"fifo": 3, "asha": 6, "median": 6, "hyperband": 8, "hyperband_short": 5, "bohb": 6}
DECISIONS = {
    "fifo": {"CONTINUE"},
    "asha": {"CONTINUE", "STOP"},
    "median": {"CONTINUE", "STOP"},
    "hyperband": {"CONTINUE", "PAUSE", "STOP"},
    "hyperband_short": {"CONTINUE", "PAUSE", "STOP"},
    "bohb": {"CONTINUE", "PAUSE", "STOP"},
}
"""Decisions that a scripted sweep leads to."""


class ScriptedSource(SearchAlgorithm):
    """Creates the trials of a scripted sweep, as `Process` does in the fake."""

    def __init__(self, sweep: Sweep, scheduler: RecordingScheduler) -> None:
        self._sweep = sweep
        self._scheduler = scheduler
        self._experiment: Any = None
        self._created = 0
        self._live: dict[str, SweepTrial] = {}
        self.searcher = NullSearcher()

    def add_configurations(self, experiments: Any) -> None:
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]

    def next_trial(self) -> Trial | None:
        sweep = self._sweep
        slots_taken = sum(not self._scheduler.is_waiting(trial) for trial in self._live.values())
        if self._created >= sweep.trials or slots_taken >= sweep.limit:
            return None
        number = self._created
        self._created += 1
        scores = [sweep.score(number, epoch) for epoch in range(1, sweep.epochs + 1)]
        trial = new_trial(
            self._experiment,
            TrialRecord(f"id{number}", number, f"trial_{number}", {}),
            {"training": {"epochs": sweep.epochs}, "_trial": {}, "scores": scores},
            on_failure=lambda trial, error: RetryDecision(retry=False),
            num_to_keep=1,
        )
        self._live[trial.trial_id] = trial
        return trial

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        assert not error
        self._live.pop(trial_id)

    def is_finished(self) -> bool:
        return self._created >= self._sweep.trials


def new_sweep(directory: Path, name: str) -> Sweep:
    def make() -> Any:
        return build_scheduler(SECTIONS[name], {}, metric="val_acc", mode="max", max_t=EPOCHS)

    limit = TRIALS[name] if name.startswith("hyperband") else 1
    return Sweep(directory, make, TRIALS[name], EPOCHS, limit=limit)


def run_with_tune(sweep: Sweep) -> None:
    """Runs a scripted sweep with Tune, one trial at a time."""
    sweep.directory.mkdir()
    switch = PauseSwitch(sweep.layout.stop_file, None)
    log = EventLog(sweep.layout.events_file)
    scheduler = RecordingScheduler(sweep.make(), log, switch, PauseStopper(switch), ["val_acc"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TUNE_MAX_PENDING_TRIALS_PG", str(sweep.limit))
        grid = tune.Tuner(
            tune.with_resources(ScriptedTrainable, {"cpu": 2}),
            tune_config=tune.TuneConfig(
                metric="val_acc",
                mode="max",
                search_alg=ScriptedSource(sweep, scheduler),
                scheduler=scheduler,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=sweep.directory.name,
                storage_path=str(sweep.directory.parent),
                verbose=0,
                callbacks=[NoProgress()],
            ),
        ).fit()
    log.close()
    assert grid.num_errors == 0
    assert len(grid) == sweep.trials


def journal(sweep: Sweep) -> list[tuple[str, str, int, str | None]]:
    """Returns the event log in order: (kind, trial, epoch, decision)."""
    events = EventLog(sweep.layout.events_file).read()
    return [(event.kind, event.trial, event.epoch, event.decision) for event in events]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_fake_and_tune_lead_to_the_same_event_log(
    name: str, ray_session: None, tmp_path: Path
) -> None:
    fake, real = new_sweep(tmp_path / "fake", name), new_sweep(tmp_path / "real", name)
    Process(fake).run()
    run_with_tune(real)
    assert {decision for *_, decision in journal(fake)} - {None} == DECISIONS[name]
    assert journal(real) == journal(fake)
