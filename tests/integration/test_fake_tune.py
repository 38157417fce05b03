"""The fake of Tune's loop leads to the same event log and records as Tune, for every scheduler."""

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
from sweeps.space.distributions import Distribution, Range
from sweeps.spec.schedulers import ASHA, FIFO, PB2, PBT, BOHBHyperBand, HyperBand, Median
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.trial import SweepTrial
from tests.support.fake_tune import Process, Sweep
from tests.support.scripted_trainable import VALUE, ScriptedTrainable

pytestmark = pytest.mark.ray
SLOW = pytest.mark.slow

EPOCHS = 4
SECTIONS: dict[str, Any] = {
    "fifo": FIFO(),
    "asha": ASHA(name="asha", grace_period=1, reduction_factor=2),
    "median": Median(name="median", grace_period=2, min_samples_required=2),
    "hyperband": HyperBand(name="hyperband", reduction_factor=2),
    "hyperband_short": HyperBand(name="hyperband", reduction_factor=2, max_t=2),
    "bohb": BOHBHyperBand(name="bohb", reduction_factor=2),
    "pbt": PBT(name="pbt", perturbation_interval=1, quantile_fraction=0.5),
    "pb2": PB2(name="pb2", perturbation_interval=1, quantile_fraction=0.5),
}
SPACE: dict[str, Distribution] = {VALUE: Range(1e-3, 1.0, log=True)}
TRIALS = {
    "fifo": 3,
    "asha": 6,
    "median": 6,
    "hyperband": 8,
    "hyperband_short": 5,
    "bohb": 6,
    "pbt": 4,
    "pb2": 4,
}
DECISIONS = {
    "fifo": {"CONTINUE"},
    "asha": {"CONTINUE", "STOP"},
    "median": {"CONTINUE", "STOP"},
    "hyperband": {"CONTINUE", "PAUSE", "STOP"},
    "hyperband_short": {"CONTINUE", "PAUSE", "STOP"},
    "bohb": {"CONTINUE", "PAUSE", "STOP"},
    "pbt": {"PAUSE", "NOOP"},
    "pb2": {"PAUSE", "NOOP"},
}
"""Decisions that a scripted sweep leads to."""


class ScriptedSource(SearchAlgorithm):
    """Creates the trials of a scripted sweep, as `Process` does in the fake."""

    def __init__(
        self, sweep: Sweep, scheduler: RecordingScheduler, records: dict[str, TrialRecord]
    ) -> None:
        self._sweep = sweep
        self._scheduler = scheduler
        self._records = records
        self._experiment: Any = None
        self._live: dict[str, SweepTrial] = {}
        self.searcher = NullSearcher()

    def add_configurations(self, experiments: Any) -> None:
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]

    def next_trial(self) -> Trial | None:
        sweep = self._sweep
        slots_taken = sum(not self._scheduler.is_waiting(trial) for trial in self._live.values())
        if self.is_finished() or slots_taken >= sweep.limit:
            return None
        record = sweep.new_record(len(self._records))
        sweep.layout.write_trial(record)
        self._records[record.id] = record
        trial = sweep.new_trial(self._experiment, record)
        self._live[trial.trial_id] = trial
        return trial

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        assert not error
        self._live.pop(trial_id)

    def is_finished(self) -> bool:
        return len(self._records) >= self._sweep.trials


def new_sweep(directory: Path, name: str) -> Sweep:
    space = SPACE if name in {"pbt", "pb2"} else {}

    def make() -> Any:
        return build_scheduler(SECTIONS[name], space, metric="val_acc", mode="max", max_t=EPOCHS)

    limit = TRIALS[name] if space or name.startswith("hyperband") else 1
    return Sweep(directory, make, TRIALS[name], EPOCHS, limit=limit, mutated=space)


def run_with_tune(sweep: Sweep) -> None:
    """Runs a scripted sweep with Tune, one trial at a time."""
    sweep.directory.mkdir()
    switch = PauseSwitch(sweep.layout.stop_file, None)
    log = EventLog(sweep.layout.events_file)
    scheduler = sweep.new_scheduler(log, switch)
    records: dict[str, TrialRecord] = {}
    callbacks = sweep.new_callbacks(records, scheduler, switch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TUNE_MAX_PENDING_TRIALS_PG", str(sweep.limit))
        grid = tune.Tuner(
            tune.with_resources(ScriptedTrainable, {"cpu": 2}),
            tune_config=tune.TuneConfig(
                metric="val_acc",
                mode="max",
                search_alg=ScriptedSource(sweep, scheduler, records),
                scheduler=scheduler,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=sweep.directory.name,
                storage_path=str(sweep.directory.parent),
                verbose=0,
                callbacks=[*callbacks, NoProgress()],
            ),
        ).fit()
    log.close()
    assert grid.num_errors == 0
    assert len(grid) == sweep.trials


def journal(sweep: Sweep) -> list[Event]:
    """Returns the event log in order, without what Tune measures."""
    events = EventLog(sweep.layout.events_file).read()
    for event in events:
        (event.metrics or {}).pop("time_total_s", None)
    return events


def records(sweep: Sweep) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Returns what is recorded of each trial: (id, state, exploits)."""
    return [(trial.id, trial.state, trial.lineage) for trial in sweep.layout.read_trials()]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in {"pbt"} else SLOW) for name in SECTIONS],
)
def test_the_fake_and_tune_lead_to_the_same_event_log_and_records(
    name: str, ray_session: None, tmp_path: Path
) -> None:
    fake, real = new_sweep(tmp_path / "fake", name), new_sweep(tmp_path / "real", name)
    Process(fake).run()
    run_with_tune(real)
    assert {event.decision for event in journal(fake)} - {None} == DECISIONS[name]
    assert journal(real) == journal(fake)
    assert records(real) == records(fake)
    assert any(lineage for *_, lineage in records(fake)) == bool(fake.mutated)
