"""A driver without Ray: the real `start_sweep` and `resume_sweep`, with the fake of Tune's loop.

Everything but Tune, Ray and the training is the product's: the source of trials, the searcher, the
scheduler, the callbacks, the files, and the way a sweep is resumed from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train._internal.storage import StorageContext
from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable
from ray.tune.schedulers import TrialScheduler

from sweeps.cluster.placement import Reservation
from sweeps.execution import launch, tune_run
from sweeps.execution.launch import resume_sweep, start_sweep
from sweeps.execution.resume import change_settings, open_for_resume
from sweeps.execution.tune_run import TuneRun
from sweeps.results.outcome import Outcome
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.trials import ray_death
from sweeps.trials.trial import SweepTrial
from tests.support.fake_tune import MOST_STEPS, Process, checkpoint_content
from tests.support.scripted_trainable import VALUE, scripted_score
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS
from trainable.config.dotted import get_dotted

SHARE = {"cpu": 1, "gpu": 0}
OnStep = Callable[["FakeTune"], None]


def new_spec(directory: Path, tune: Mapping[str, Any], **sections: Any) -> SearchSpec:
    """Builds a search whose sweep directory is `directory / "sweep"`.

    Args:
        directory: An existing directory.
        tune: The section of the file.
        sections: Other sections of the file; `space` has a learning rate by default.
    """
    config = {
        "dataset": {"name": "digits", "val_split": 0.2},
        "model": {"name": "resnet20"},
        "training": {"epochs": 4},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": True, "dir": str(directory)},
        "progress": {"enabled": False},
        "seed": {"enabled": True},
    }
    space = {VALUE: {"loguniform": [1e-3, 1.0]}}
    data = {"name": "sweep", "config": config, "space": space, "keep": {"min_free_gib": 0}}
    return parse_search({**data, "tune": {"seed": 1, **tune}, **sections})


def install(
    monkeypatch: pytest.MonkeyPatch,
    *,
    slots: int,
    on_step: OnStep | None = None,
    fails: tuple[int, int] | None = None,
) -> None:
    """Lets sweeps of this process run without Ray.

    Args:
        monkeypatch: The test's fixture.
        slots: Number of trials that run at a time.
        on_step: Called before each step of the loop, as another process might act then.
        fails: Number of a trial, and the epoch in which it fails once.
    """

    def fit(run: TuneRun) -> None:
        FakeTune(run, slots, on_step or (lambda tune: None), fails).run()

    monkeypatch.setattr(TuneRun, "_fit", fit)
    monkeypatch.setattr(launch, "_prepare", lambda spec, *others: (spec, dict(SHARE)))
    monkeypatch.setattr(launch, "start_describing", lambda: dict)
    monkeypatch.setattr(tune_run, "count_slots", lambda share: slots)
    monkeypatch.setattr(tune_run, "choose_reservation", lambda share, number: Reservation(share))
    monkeypatch.setattr(Trial, "handle_error", lambda *arguments: None)  # writes files
    monkeypatch.setattr(ray_death, "find_endpoints", list)
    monkeypatch.setattr(ray_death, "watching", lambda *arguments: nullcontext())


def start(spec: SearchSpec) -> Outcome:
    """Starts a sweep and runs it to its end or pause."""
    return start_sweep(spec)


def resume(directory: Path, **changes: Any) -> Outcome:
    """Resumes a sweep, as `sweep resume` does.

    Args:
        directory: The sweep directory.
        changes: Keys of the file's `tune` with new values.
    """
    with open_for_resume(directory) as (spec, records):
        return resume_sweep(change_settings(spec, changes, {}), directory, records)


class FakeTune(Process):
    """Runs a `TuneRun` in the order of Tune's controller.

    Args:
        run: The run of a sweep.
        slots: Number of trials that run at a time.
        on_step: Called before each step.
        fails: Number of a trial, and the epoch in which it fails once.
    """

    def __init__(
        self,
        run: TuneRun,
        slots: int,
        on_step: OnStep = lambda tune: None,
        fails: tuple[int, int] | None = None,
    ) -> None:
        self._run = run
        self.search_alg: Any = run._source
        self.scheduler = run._scheduler
        self.records = run._source.records
        self.directory = run._layout.directory
        self._slots = slots
        self._on_step = on_step
        self._callbacks = run._build_callbacks()
        # Process reads the script of a sweep here; the rest of it is the sweep's own.
        self.sweep: Any = SimpleNamespace(
            directory=self.directory,
            layout=run._layout,
            mutated=run._mutated,
            last_epoch=lambda number: self._epochs_of(number),
            fails=fails,
            stops={},
            save_frequency=1,
            slow_saves=False,
            slots=slots,
        )
        register_trainable("fake", Trainable)
        storage = StorageContext(str(self.directory.parent), self.directory.name)
        self._experiment = SimpleNamespace(spec={"run": "fake", "storage": storage})
        self._trials: list[SweepTrial] = []
        self._epochs: dict[str, int] = {}
        self._recorded: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._epochs_left = None
        self._saving: list[SweepTrial] = []

    def run(self) -> None:
        """Runs until every trial has ended or the sweep has paused."""
        self.search_alg.add_configurations([self._experiment])
        for step in itertools.count():
            assert step < MOST_STEPS, "the sweep never ends"
            if self.search_alg.is_finished() and not self.get_live_trials():
                break
            self._on_step(self)
            for callback in self._callbacks:
                callback.on_step_begin(0, self._trials)
            self._make_trials()
            self._fill_slots()
            running = [t for t in self._trials if t.status == Trial.RUNNING]
            if running:
                order = lambda t: (self._epochs[t.trial_id], self._number(t))  # noqa: E731
                self._train(min(running, key=order))
            if self._run._stopper.stop_all():
                self.search_alg.set_finished()
                for trial in self.get_live_trials():
                    trial.set_status(Trial.TERMINATED)
        for callback in self._callbacks:
            callback.on_experiment_end(self._trials)

    def stop_trial(self, trial: SweepTrial) -> None:
        """Informs the scheduler, the source and the callbacks, as Tune does."""
        if trial.is_finished():
            return
        was_running = trial.status == Trial.RUNNING
        super().stop_trial(trial)
        result = self._flatten(trial.last_result) if was_running else None
        self.search_alg.on_trial_complete(trial.trial_id, result=result)

    def _fail(self, trial: SweepTrial, epoch: int) -> None:
        """Lets a trial fail for good, as Tune does when it is not to recover."""
        trial.handle_error(RuntimeError("scripted failure"))
        assert not trial.should_recover(), "failure.max_retries must be 0"
        controller: Any = self
        self.scheduler.on_trial_error(controller, trial)
        self.search_alg.on_trial_complete(trial.trial_id, error=True)
        for callback in self._callbacks:
            callback.on_trial_error(0, self._trials, trial)
        trial.set_status(Trial.ERROR)

    def _make_trials(self) -> None:
        if self.search_alg.is_finished():
            return
        while (trial := self.search_alg.next_trial()) is not None:
            self._add(trial)

    def _after_decision(self, trial: SweepTrial, result: dict[str, Any], decision: str) -> None:
        if decision != TrialScheduler.STOP:
            self.search_alg.on_trial_result(trial.trial_id, self._flatten(result))

    def _epochs_of(self, number: int) -> int:
        (trial,) = (t for t in self._trials if self._number(t) == number and not t.is_finished())
        epochs: int = trial.config["training"]["epochs"]
        return epochs

    def _row(self, trial: Trial, epoch: int) -> dict[str, Any]:
        config = {"seed": trial.config["seed"]["value"], VALUE: _value(trial)}
        score = scripted_score(config, epoch)
        numbers = {"epoch": epoch, "training_iteration": epoch, "val_acc": score}
        return {**numbers, "trial_id": trial.trial_id, "config": trial.config}

    def _write_latest(self, trial: Trial) -> None:
        super()._write_latest(trial)
        best = self._directory(trial) / CHECKPOINTS / BEST_FILE
        best.unlink(missing_ok=True)
        best.write_bytes(self._content(trial))

    @property
    def _keeps_checkpoints(self) -> bool:
        return True

    def _content(self, trial: Trial) -> bytes:
        return checkpoint_content(self._epochs[trial.trial_id], _value(trial))


def _value(trial: Trial) -> float:
    """Returns the trial's learning rate, which PBT finds at the top of the config."""
    config = trial.config
    value: float = config[VALUE] if VALUE in config else get_dotted(config, VALUE)
    return value
