"""Runs Tune with our trials but without our sweep, and records which calls it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from sweeps.trials.trial import SweepTrial, new_trial
from tests.support.toy_trainable import Toy


def make(experiment: Any, name: str = "a", **config: Any) -> SweepTrial:
    return new_trial(
        experiment,
        TrialRecord(name, 0, f"directory_{name}", {}),
        {"_trial": {}, **config},
        on_failure=lambda trial, error: RetryDecision(retry=True),
        num_to_keep=1,
    )


def checkpoint(trial: SweepTrial, index: int, epoch: int) -> _TrainingResult:
    storage: Any = trial.storage
    directory = Path(storage.trial_fs_path, storage._make_checkpoint_dir_name(index))
    directory.mkdir(parents=True)
    (directory / "count.json").write_text(str(epoch))
    metrics = {"epoch": epoch, "training_iteration": epoch, "config": trial.config}
    return _TrainingResult(Checkpoint.from_directory(str(directory)), metrics)


@dataclass
class Journal:
    """The calls that Tune made, in order."""

    lines: list[tuple[str, ...]] = field(default_factory=list)
    grid: Any = None

    def note(self, *words: str) -> None:
        self.lines.append(words)

    def of(self, trial: str, *kinds: str) -> list[str]:
        lines = [(kind, *rest) for kind, *rest in self.lines if rest[:1] == [trial]]
        return [" ".join((k, *rest[1:])) for k, *rest in lines if not kinds or k in kinds]


class Source(SearchAlgorithm):
    """Suggests four trials: one has ended, one is paused, one is stopped, one fails once."""

    def __init__(self, journal: Journal, marks: Path) -> None:
        self.journal = journal
        self.marks = str(marks)
        self.pending: list[SweepTrial] = []

    def add_configurations(self, experiments: Any) -> None:
        self.journal.note("add_configurations", type(experiments).__name__)
        (experiment,) = experiments if isinstance(experiments, list) else [experiments]
        trials = {
            name: self._make_trial(experiment, name) for name in ("ended", "paused", "stopped")
        }
        trials["ended"].run_metadata.last_result = {"epoch": 3, "training_iteration": 3}
        trials["ended"].set_status(Trial.TERMINATED)
        saved = checkpoint(trials["paused"], 0, epoch=1)
        trials["paused"].run_metadata.checkpoint_manager.register_checkpoint(saved)
        untyped: Any = trials["paused"].storage
        untyped.current_checkpoint_index = 0
        trials["paused"].set_status(Trial.PAUSED)
        trials["fails"] = self._make_trial(experiment, "fails", fails_at=2)
        self.pending = list(trials.values())

    def _make_trial(self, experiment: Any, name: str, **config: Any) -> SweepTrial:
        trial = make(experiment, name, marks=self.marks, **config)
        trial.on_failure = self._retry
        return trial

    def _retry(self, trial: SweepTrial, error: Exception) -> RetryDecision:
        assert "RuntimeError: once" in str(error)
        self.journal.note("failed", trial.trial_id)
        return RetryDecision(retry=True)

    def next_trial(self) -> Trial | None:
        self.journal.note("next_trial")
        return self.pending.pop(0) if self.pending else None

    def is_finished(self) -> bool:
        return not self.pending

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        kind = "error" if error else "no result" if result is None else "result"
        self.journal.note("source_complete", trial_id, kind)


class Scheduler(FIFOScheduler):
    """Also runs paused trials, and stops the trial called `stopped` before it starts."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.journal = journal

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.journal.note("add", trial.trial_id, trial.status)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        self.journal.note("scheduler_result", trial.trial_id, str(result["epoch"]))
        return super().on_trial_result(tune_controller, trial, result)

    def on_trial_complete(
        self, tune_controller: Any, trial: Trial, result: dict[str, Any]
    ) -> None:
        epochs = f"{result['epoch']} {trial.last_result['epoch']}"
        self.journal.note("scheduler_complete", trial.trial_id, epochs)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self.journal.note("scheduler_remove", trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        recovers = trial.should_recover()
        self.journal.note("scheduler_error", trial.trial_id, f"recovers {recovers}")

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        for trial in tune_controller.get_trials():
            if trial.trial_id == "stopped" and trial.status == Trial.PENDING:
                tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)


class JournalCallback(tune.Callback):
    """Records starts, results and ends."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def on_trial_start(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
        self.journal.note("start", trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Trial, result: Any, **info: Any
    ) -> None:
        loaded = str(result.get("loaded"))
        self.journal.note("callback_result", trial.trial_id, str(result["epoch"]), loaded)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
        self.journal.note("callback_complete", trial.trial_id, trial.status)


def run_with_journal(directory: Path) -> Journal:
    """Runs the four trials of `Source` and returns the journal."""
    journal = Journal()
    (directory / "marks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TUNE_MAX_PENDING_TRIALS_PG", "4")
        tuner = tune.Tuner(
            tune.with_resources(Toy, {"cpu": 2}),
            tune_config=tune.TuneConfig(
                metric="epoch",
                mode="max",
                search_alg=Source(journal, directory / "marks"),
                scheduler=Scheduler(journal),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="contract",
                storage_path=str(directory / "storage"),
                verbose=0,
                callbacks=[JournalCallback(journal)],
            ),
        )
        journal.grid = tuner.fit()
    return journal
