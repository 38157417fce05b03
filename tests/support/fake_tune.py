"""Fake of Tune's loop: real schedulers, trials and files, but a training is a curve of numbers.

It calls the scheduler and the sweep's callbacks in the order in which Tune's controller does
(`tests/integration/test_fake_tune.py` compares them), and can be killed before or after any event
in the log.
"""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ray.train._internal.session import _FutureTrainingResult, _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import Callback, Checkpoint, Trainable
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable
from ray.tune.schedulers import TrialScheduler

from sweeps.execution.observers.hooks import HookRunner
from sweeps.execution.observers.live_view import LiveView
from sweeps.execution.recorder import RecordCallback, RecordWriter
from sweeps.execution.restore_trials import TrialRestorer
from sweeps.schedulers.pbt import IN_CONFIG, DonorCheckpointCleanup, Population
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.schedulers.replay import NullSearcher
from sweeps.space.distributions import Distribution
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, Failure, SweepRecord, TrialRecord, now
from sweeps.terminal.console import console
from sweeps.trials.failures import RetryDecision
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import SweepTrial, new_trial
from tests.support.scripted_trainable import VALUE, scripted_score
from trainable.artifacts.metrics import MetricsFile, read_rows
from trainable.artifacts.names import CHECKPOINT_FILE, CHECKPOINTS, LATEST_FILE
from trainable.trial_settings import EARLY_STOPPING, STOP_REASON, STOPPED_BY

MakeScheduler = Callable[[], TrialScheduler]
MOST_STEPS = 1000
"""Steps of the loop, one epoch each, after which a run fails."""


class Killed(BaseException):
    """The driver was killed."""


class FragileLog(EventLog):
    """Kills the driver at its n-th event, before or after the event is written."""

    def __init__(self, path: Path, kill_at: int | None, *, written: bool) -> None:
        super().__init__(path)
        self._left = kill_at
        self._written = written

    def append(self, event: Event) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                if self._written:
                    super().append(event)
                raise Killed
        super().append(event)


@dataclass
class Sweep:
    """Script of a sweep, the same for each of its runs."""

    directory: Path
    make: MakeScheduler
    trials: int
    epochs: int
    slots: int = 1
    limit: int = 1
    """Most live trials, not counting waiting ones; all trials with a scheduler whose trials wait
    for one another."""
    save_frequency: int = 1
    seed: int = 24
    slow_saves: bool = False
    """Whether a paused trial is still being saved until the next epoch of another one ends."""
    fails: tuple[int, int] | None = None
    """(number of a trial, epoch in which it fails once)."""
    stops: dict[int, int] = field(default_factory=dict)
    """Number of a trial -> the epoch after which a rule of its training config ends it."""
    mutated: dict[str, Distribution] = field(default_factory=dict)
    """Keys that the scheduler changes while a trial trains; `VALUE` at most."""

    @property
    def layout(self) -> SweepLayout:
        return SweepLayout(self.directory)

    def last_epoch(self, number: int) -> int:
        """Returns the epoch after which a trial ends by itself."""
        return min(self.epochs, self.stops.get(number, self.epochs))

    def new_record(self, number: int) -> TrialRecord:
        """Creates the record of a trial; a value of a range is spread over it by the number."""
        values = {
            key: distribution.from_unit((number + 0.5) / self.trials)
            for key, distribution in self.mutated.items()
        }
        return TrialRecord(f"id{number}", number, f"trial_{number}", values)

    def new_trial(self, experiment: Any, record: TrialRecord) -> SweepTrial:
        """Creates Tune's trial for a record."""
        config = {
            "training": {"epochs": self.epochs, "batch_size": 128},
            "seed": self.seed,
            VALUE: record.number,
            **record.current,
            "_trial": {"sampled": list(record.current), "mutated": list(self.mutated)},
        }
        return new_trial(
            experiment,
            record,
            config,
            on_failure=lambda trial, error: RetryDecision(retry=False),
            num_to_keep=sys.maxsize,
        )

    def new_scheduler(self, log: EventLog, switch: PauseSwitch) -> RecordingScheduler:
        """Creates the scheduler that Tune calls."""
        return RecordingScheduler(
            self.make(), log, switch, PauseStopper(switch), {"val_acc": "max"}, self.mutated
        )

    def new_callbacks(
        self, records: dict[str, TrialRecord], scheduler: RecordingScheduler, switch: PauseSwitch
    ) -> list[Callback]:
        """Creates the callbacks of a sweep: its recorder, and a population's cleanup.

        Args:
            records: Trial id -> record; trials that are created later are added.
            scheduler: The sweep's scheduler.
            switch: The one that the scheduler has.
        """
        spec = _spec(self.trials, self.epochs)
        metric, mode = spec.tune.metric, spec.tune.mode
        sweep = SweepRecord(self.directory.name, "running", now())
        recorder = RecordCallback(
            spec,
            RecordWriter(self.layout, sweep, records),
            switch=switch,
            view=LiveView(
                console,
                total=self.trials,
                epochs=self.epochs,
                slots=self.slots,
                metric=metric,
                mode=mode,
            ),
            progress={},
            hooks=HookRunner(spec.hooks, self.directory, metric=metric, mode=mode),
            on_end=lambda: None,
        )
        inner = scheduler.inner
        if not isinstance(inner, Population):
            return [recorder]
        return [recorder, DonorCheckpointCleanup(inner, lambda path: None)]


@cache
def _spec(trials: int, epochs: int) -> SearchSpec:
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": epochs},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    space = {VALUE: {"uniform": [1.0, 2.0]}}
    return parse_search({"config": config, "space": space, "tune": {"num_samples": trials}})


class PendingSave(_FutureTrainingResult):
    """A save that the scheduler may wait for; here the files are there already."""

    def __init__(self, saved: _TrainingResult) -> None:
        self._saved = saved

    def resolve(self, block: bool = True) -> _TrainingResult:
        del block
        return self._saved


class Process:
    """One run of a sweep, and the controller that its scheduler gets.

    Args:
        sweep: The sweep, new or with the files that earlier runs left in its directory.
        kill_at: 1-based number of the event at which the run is killed; None for no kill.
        written: Whether that event is still written.
        killed_after_epochs: Number of trained epochs after which the run is killed.
    """

    def __init__(
        self,
        sweep: Sweep,
        *,
        kill_at: int | None = None,
        written: bool = False,
        killed_after_epochs: int | None = None,
    ) -> None:
        self.sweep = sweep
        self.search_alg = SimpleNamespace(searcher=NullSearcher())
        self.records = {record.id: record for record in sweep.layout.read_trials()}
        sweep.directory.mkdir(exist_ok=True)
        switch = PauseSwitch(sweep.layout.stop_file, None)
        log = FragileLog(sweep.layout.events_file, kill_at, written=written)
        self.scheduler = sweep.new_scheduler(log, switch)
        self._callbacks = sweep.new_callbacks(self.records, self.scheduler, switch)
        register_trainable("fake", Trainable)
        storage = StorageContext(str(sweep.directory.parent), sweep.directory.name)
        self._experiment = SimpleNamespace(spec={"run": "fake", "storage": storage})
        self._trials: list[SweepTrial] = []
        self._epochs: dict[str, int] = {}
        """Trial -> last epoch that the state of its worker has."""
        self._recorded: dict[str, int] = {}
        """Trial -> last epoch that its worker has recorded."""
        self._saved: dict[str, int] = {}
        """Trial -> last epoch that its worker has saved since it was started."""
        self._epochs_left = killed_after_epochs
        self._saving: list[SweepTrial] = []

    def run(self) -> None:
        """Runs until every trial has ended or the run is killed."""
        epochs = dict.fromkeys(self.records, self.sweep.epochs)
        restorer = TrialRestorer(self.sweep.layout, list(self.records.values()), epochs)
        new_trial, experiment = self.sweep.new_trial, self._experiment
        waiting = {id_: new_trial(experiment, record) for id_, record in self.records.items()}
        restorer.restore(waiting, self.scheduler)
        for trial in waiting.values():
            self._add(trial)
        for step in itertools.count():
            assert step < MOST_STEPS, "the sweep never ends"
            for callback in self._callbacks:
                callback.on_step_begin(0, self._trials)
            self._make_trials()
            self._fill_slots()
            saving, self._saving = self._saving, []
            running = [t for t in self._trials if t.status == Trial.RUNNING and t not in saving]
            if not running and not saving:
                break
            if running:
                order = lambda t: (self._epochs[t.trial_id], self._number(t))  # noqa: E731
                self._train(min(running, key=order))
            for trial in saving:
                self._finish_save(trial)
        left = [self._number(t) for t in self._trials if not t.is_finished()]
        assert not left, f"the scheduler never chooses trials {left}"

    # Controller methods that schedulers call.

    def get_trials(self) -> list[SweepTrial]:
        return self._trials

    def get_live_trials(self) -> set[SweepTrial]:
        return {trial for trial in self._trials if not trial.is_finished()}

    def stop_trial(self, trial: SweepTrial) -> None:
        """Informs the scheduler and then the callbacks, as Tune does; it saves nothing."""
        if trial.is_finished():
            return
        controller: Any = self
        if trial.status == Trial.RUNNING:
            self.scheduler.on_trial_complete(controller, trial, self._flatten(trial.last_result))
        else:
            self.scheduler.on_trial_remove(controller, trial)
        for callback in self._callbacks:
            callback.on_trial_complete(0, self._trials, trial)
        trial.temporary_state.saving_to = None
        trial.set_status(Trial.TERMINATED)

    def pause_trial(self, trial: SweepTrial, should_checkpoint: bool = True) -> None:
        """Frees the trial's slot; PBT pauses a recipient without a save."""
        assert not should_checkpoint
        trial.set_status(Trial.PAUSED)

    def _set_trial_status(self, trial: SweepTrial, status: str) -> None:
        trial.set_status(status)

    def _schedule_trial_save(
        self, trial: SweepTrial, result: dict[str, Any] | None = None
    ) -> PendingSave:
        """Writes the checkpoint; Tune hears of it when the scheduler has decided."""
        del result  # Tune uses the worker's
        epoch = self._epochs[trial.trial_id]
        storage: Any = trial.storage
        name = storage._make_checkpoint_dir_name(storage.current_checkpoint_index + 1)
        directory = self._directory(trial) / name
        if self._keeps_checkpoints:
            directory.mkdir(exist_ok=True)
            file = directory / CHECKPOINT_FILE
            file.write_bytes(self._content(trial))
        self._write_latest(trial)
        metrics = self._row(trial, epoch)
        saved = _TrainingResult(Checkpoint.from_directory(str(directory)), metrics)
        trial.temporary_state.saving_to = PendingSave(saved)
        return trial.temporary_state.saving_to

    # The loop.

    def _make_trials(self) -> None:
        while len(self.records) < self.sweep.trials and self._slots_taken() < self.sweep.limit:
            number = len(self.records)
            record = self.sweep.new_record(number)
            self.sweep.layout.write_trial(record)
            self.records[record.id] = record
            self._add(self.sweep.new_trial(self._experiment, record))

    def _slots_taken(self) -> int:
        return sum(not self.scheduler.is_waiting(trial) for trial in self.get_live_trials())

    def _fill_slots(self) -> None:
        controller: Any = self
        while sum(t.status == Trial.RUNNING for t in self._trials) < self.sweep.slots:
            trial = self.scheduler.choose_trial_to_run(controller)
            if trial is None:
                return
            assert trial.status in {Trial.PENDING, Trial.PAUSED}
            self._start(trial)

    def _start(self, trial: Any) -> None:
        """Starts a trial's worker, which loads the trial's checkpoint if it has one."""
        for callback in self._callbacks:
            callback.on_trial_start(0, self._trials, trial)
        trial.set_status(Trial.RUNNING)
        saved = trial.latest_checkpoint_result
        self._epochs[trial.trial_id] = 0
        self._saved.pop(trial.trial_id, None)
        if saved is not None:
            if self.sweep.mutated:
                assert Path(saved.checkpoint.path, CHECKPOINT_FILE).exists()
            self._epochs[trial.trial_id] = saved.metrics["epoch"]
            trial.temporary_state.restoring_from = saved
            trial.on_restore()

    def _train(self, trial: Any) -> None:
        """Trains one epoch and carries out the scheduler's decision."""
        if self._epochs_left is not None:
            self._epochs_left -= 1
            if self._epochs_left < 0:
                raise Killed
        epoch = self._epochs[trial.trial_id] + 1
        if (self._number(trial), epoch) == self.sweep.fails and not self._record(trial).failures:
            self._fail(trial, epoch - 1)
            return
        is_saved = self._train_in_worker(trial, epoch)
        result = self._row(trial, epoch)
        controller: Any = self
        decision = TrialScheduler.STOP
        if epoch < self.sweep.last_epoch(self._number(trial)):
            decision = self.scheduler.on_trial_result(controller, trial, self._flatten(result))
            self._after_decision(trial, result, decision)
        for callback in self._callbacks:
            callback.on_trial_result(0, self._trials, trial, result)
        trial.run_metadata.last_result = result
        is_saved |= decision in {TrialScheduler.STOP, TrialScheduler.PAUSE}
        if is_saved and trial.status == Trial.RUNNING and not trial.is_saving:
            self._schedule_trial_save(trial)
        if decision == TrialScheduler.PAUSE and self.sweep.slow_saves:
            self._saving.append(trial)
            return
        self._finish_save(trial, pauses=decision == TrialScheduler.PAUSE)
        if decision == TrialScheduler.STOP:
            self.stop_trial(trial)

    def _train_in_worker(self, trial: Trial, epoch: int) -> bool:
        """Records an epoch in the trial's directory; returns whether it was also saved."""
        self._epochs[trial.trial_id] = epoch
        history = MetricsFile(self._directory(trial) / "metrics.jsonl")
        if self._recorded.get(trial.trial_id) != epoch - 1:
            history.truncate(epoch - 1)
        self._recorded[trial.trial_id] = epoch
        columns = {"epoch", "val_acc", STOPPED_BY, STOP_REASON}
        history.append({k: v for k, v in self._row(trial, epoch).items() if k in columns})
        is_last = epoch >= self.sweep.last_epoch(self._number(trial))
        is_saved = is_last or epoch % self.sweep.save_frequency == 0
        if is_saved:
            self._write_latest(trial)
        return is_saved

    def _row(self, trial: Trial, epoch: int) -> dict[str, Any]:
        score = scripted_score(trial.config, epoch)
        numbers = {"epoch": epoch, "training_iteration": epoch, "val_acc": score}
        if epoch == self.sweep.stops.get(self._number(trial)):
            numbers |= {STOPPED_BY: EARLY_STOPPING, STOP_REASON: "val_acc has not risen"}
        return {**numbers, "trial_id": trial.trial_id, "config": trial.config}

    def _flatten(self, result: dict[str, Any]) -> dict[str, Any]:
        """Flattens a result as Tune does for schedulers, but only the keys that are logged."""
        config = result.get("config", {})
        return {**result, **{IN_CONFIG + key: config[key] for key in self.sweep.mutated}}

    def _write_latest(self, trial: Trial) -> None:
        epoch = self._epochs[trial.trial_id]
        if self._saved.get(trial.trial_id) == epoch:
            return
        self._saved[trial.trial_id] = epoch
        latest = self._directory(trial) / CHECKPOINTS / LATEST_FILE
        latest.parent.mkdir(exist_ok=True)
        latest.unlink(missing_ok=True)  # it may be another name of an older file
        latest.write_bytes(self._content(trial))

    @property
    def _keeps_checkpoints(self) -> bool:
        """Whether a save writes Tune's directory; without PBT no other trial reads it."""
        return bool(self.sweep.mutated)

    def _content(self, trial: Trial) -> bytes:
        """Returns the content of the checkpoint of a trial's present epoch."""
        return checkpoint_content(self._epochs[trial.trial_id], trial.config[VALUE])

    def _after_decision(self, trial: SweepTrial, result: dict[str, Any], decision: str) -> None:
        """Does what Tune does after a decision of the scheduler."""

    def _finish_save(self, trial: Any, *, pauses: bool = True) -> None:
        """Registers a checkpoint that has been written, and pauses the trial if it is to."""
        if trial.is_saving:
            trial.on_checkpoint(trial.temporary_state.saving_to.resolve())
            for callback in self._callbacks:
                callback.on_trial_save(0, self._trials, trial)
            trial.temporary_state.saving_to = None
        if pauses and trial.status == Trial.RUNNING:
            trial.set_status(Trial.PAUSED)

    def _fail(self, trial: SweepTrial, epoch: int) -> None:
        controller: Any = self
        self.scheduler.on_trial_error(controller, trial)
        failure = Failure("error", "scripted failure", "", epoch, None, now())
        self._record(trial).failures.append(failure)
        for callback in self._callbacks:
            callback.on_trial_error(0, self._trials, trial)
        trial.set_status(Trial.ERROR)

    def _add(self, trial: SweepTrial) -> None:
        controller: Any = self
        self._trials.append(trial)
        self.scheduler.on_trial_add(controller, trial)

    def _record(self, trial: Trial) -> TrialRecord:
        return self.records[trial.trial_id]

    def _number(self, trial: Trial) -> int:
        return self._record(trial).number

    def _directory(self, trial: Trial) -> Path:
        return self.sweep.directory / self._record(trial).directory


@cache
def checkpoint_content(epoch: int, value: float) -> bytes:
    """Returns the content of a checkpoint file without weights."""
    empty: dict[str, Any] = {
        f"{name}_state_dict": {} for name in ("model", "optimizer", "scheduler")
    }
    section, _, name = VALUE.partition(".")
    config = {section: {name: value}}
    file = io.BytesIO()
    torch.save({**empty, "epoch": epoch, "best_acc": 0.0, "config": config}, file)
    return file.getvalue()


def decisions(sweep: Sweep) -> list[tuple[str, int, str | None]]:
    """Returns the scheduler's decisions in order: (trial, epoch, decision)."""
    events = EventLog(sweep.layout.events_file).read()
    return [(e.trial, e.epoch, e.decision) for e in events if e.kind == "result"]


def ends(sweep: Sweep) -> dict[int, tuple[str, int]]:
    """Returns number of a trial -> (state, last epoch that it trained)."""
    states = {}
    for record in sweep.layout.read_trials():
        assert record.state in ENDED
        rows = read_rows(sweep.directory / record.directory / "metrics.jsonl")
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        states[record.number] = (record.state, len(rows))
    return states
