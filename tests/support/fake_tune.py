"""Fake of Tune's loop: real schedulers, trials and files, but a training is a curve of numbers.

It calls the scheduler in the order in which Tune's controller does (`tests/integration/
test_fake_tune.py` compares them), and can be killed before or after any event in the log.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ray.train._internal.storage import StorageContext
from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable
from ray.tune.schedulers import TrialScheduler

from sweeps.execution.restore_trials import TrialRestorer
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.schedulers.replay import NullSearcher
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, Failure, TrialRecord, now
from sweeps.trials.failures import RetryDecision
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import SweepTrial, new_trial
from trainable.artifacts.metrics import MetricsFile, read_rows

MakeScheduler = Callable[[], TrialScheduler]


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

    @property
    def layout(self) -> SweepLayout:
        return SweepLayout(self.directory)

    def score(self, number: int, epoch: int) -> float:
        """Metric of a trial's epoch: its quality, an increase, and noise that reorders trials."""
        quality = random.Random(f"{self.seed} {number}").random()
        noise = random.Random(f"{self.seed} {number} {epoch}").random()
        return round(quality * (1 - 0.5**epoch) + 0.3 * noise, 6)


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
        self.scheduler = RecordingScheduler(
            sweep.make(), log, switch, PauseStopper(switch), ["val_acc"]
        )
        register_trainable("fake", Trainable)
        storage = StorageContext(str(sweep.directory.parent), sweep.directory.name)
        self._experiment = SimpleNamespace(spec={"run": "fake", "storage": storage})
        self._trials: list[SweepTrial] = []
        self._epochs: dict[str, int] = {}
        self._truncated: set[str] = set()
        self._epochs_left = killed_after_epochs
        self._saving: list[SweepTrial] = []

    def run(self) -> None:
        """Runs until every trial has ended or the run is killed."""
        epochs = dict.fromkeys(self.records, self.sweep.epochs)
        restorer = TrialRestorer(self.sweep.layout, list(self.records.values()), epochs)
        waiting = {record.id: self._trial(record) for record in self.records.values()}
        restorer.restore(waiting, self.scheduler)
        for trial in waiting.values():
            self._add(trial)
        while True:
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
                trial.set_status(Trial.PAUSED)
        left = [self._number(t) for t in self._trials if not t.is_finished()]
        assert not left, f"the scheduler never chooses trials {left}"

    # Controller methods that schedulers call.

    def get_trials(self) -> list[SweepTrial]:
        return self._trials

    def get_live_trials(self) -> set[SweepTrial]:
        return {trial for trial in self._trials if not trial.is_finished()}

    def stop_trial(self, trial: SweepTrial) -> None:
        """Informs the scheduler, records the trial and saves it, in this order."""
        if trial.is_finished():
            return
        was_running = trial.status == Trial.RUNNING
        controller: Any = self
        if was_running:
            self.scheduler.on_trial_complete(controller, trial, dict(trial.last_result))
        else:
            self.scheduler.on_trial_remove(controller, trial)
        record = self.records[trial.trial_id]
        is_done = trial.last_result.get("epoch", 0) >= self.sweep.epochs
        record.state = "finished" if is_done else "stopped"
        self.sweep.layout.write_trial(record)
        if was_running:
            self._save(trial)
        trial.set_status(Trial.TERMINATED)

    # The loop.

    def _make_trials(self) -> None:
        while len(self.records) < self.sweep.trials and self._slots_taken() < self.sweep.limit:
            number = len(self.records)
            record = TrialRecord(f"id{number}", number, f"trial_{number}", {})
            self.sweep.layout.write_trial(record)
            self.records[record.id] = record
            self._add(self._trial(record))

    def _slots_taken(self) -> int:
        return sum(not self.scheduler.is_waiting(trial) for trial in self.get_live_trials())

    def _fill_slots(self) -> None:
        controller: Any = self
        while sum(t.status == Trial.RUNNING for t in self._trials) < self.sweep.slots:
            trial = self.scheduler.choose_trial_to_run(controller)
            if trial is None:
                return
            assert trial.status in {Trial.PENDING, Trial.PAUSED}
            saved = trial.latest_checkpoint_result
            epoch = saved.metrics["epoch"] if saved is not None else 0
            self._epochs.setdefault(trial.trial_id, epoch)
            trial.set_status(Trial.RUNNING)

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
        self._epochs[trial.trial_id] = epoch
        row = {"epoch": epoch, "val_acc": self.sweep.score(self._number(trial), epoch)}
        history = MetricsFile(self._directory(trial) / "metrics.jsonl")
        if trial.trial_id not in self._truncated:
            self._truncated.add(trial.trial_id)
            history.truncate(epoch - 1)
        history.append(row)
        is_done = epoch >= self.sweep.epochs
        if is_done or epoch % self.sweep.save_frequency == 0:
            self._save(trial)
        result = {**row, "training_iteration": epoch, "trial_id": trial.trial_id}
        controller: Any = self
        decision = TrialScheduler.STOP
        if not is_done:
            decision = self.scheduler.on_trial_result(controller, trial, dict(result))
        trial.run_metadata.last_result = result
        if decision == TrialScheduler.STOP:
            self.stop_trial(trial)
        elif decision == TrialScheduler.PAUSE:
            self._save(trial)
            if self.sweep.slow_saves:
                self._saving.append(trial)
            else:
                trial.set_status(Trial.PAUSED)

    def _fail(self, trial: SweepTrial, epoch: int) -> None:
        controller: Any = self
        self.scheduler.on_trial_error(controller, trial)
        record = self._record(trial)
        record.state = "failed"
        record.failures.append(Failure("error", "scripted failure", "", epoch, None, now()))
        self.sweep.layout.write_trial(record)
        trial.set_status(Trial.ERROR)

    def _save(self, trial: SweepTrial) -> None:
        path = self._directory(trial) / "checkpoints" / "latest.pt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_checkpoint(self._epochs[trial.trial_id]))

    def _add(self, trial: SweepTrial) -> None:
        controller: Any = self
        self._trials.append(trial)
        self.scheduler.on_trial_add(controller, trial)

    def _trial(self, record: TrialRecord) -> SweepTrial:
        return new_trial(
            self._experiment,
            record,
            {"training": {"epochs": self.sweep.epochs}, "_trial": {}},
            on_failure=lambda trial, error: RetryDecision(retry=False),
            num_to_keep=1,
        )

    def _record(self, trial: Trial) -> TrialRecord:
        return self.records[trial.trial_id]

    def _number(self, trial: Trial) -> int:
        return self._record(trial).number

    def _directory(self, trial: Trial) -> Path:
        return self.sweep.directory / self._record(trial).directory


@cache
def _checkpoint(epoch: int) -> bytes:
    """Returns the content of a checkpoint file without weights."""
    empty: dict[str, Any] = {
        f"{name}_state_dict": {} for name in ("model", "optimizer", "scheduler")
    }
    file = io.BytesIO()
    torch.save({**empty, "epoch": epoch, "best_acc": 0.0, "config": {}}, file)
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
