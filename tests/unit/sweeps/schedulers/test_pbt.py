"""PBT and PB2 choose by the sweep's seed and the results, and a replay brings back their state."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train._internal.storage import StorageContext
from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable

from sweeps.schedulers import pbt
from sweeps.schedulers.build import build_scheduler
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.space.distributions import Distribution, Range
from sweeps.spec.schedulers import PB2, PBT
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import SweepTrial, new_trial
from tests.support.fake_tune import Process
from tests.support.fake_tune import Sweep as FakeSweep
from tests.support.scripted_trainable import VALUE

LR, BATCH = "optimizer.learning_rate", "training.batch_size"
SPACE: dict[str, Distribution] = {
    LR: Range(1e-4, 1.0, log=True),
    BATCH: Range(64, 257, step=64, integer=True),
}
SECTIONS: dict[str, Any] = {
    "pbt": PBT(name="pbt", quantile_fraction=0.34),
    "pb2": PB2(name="pb2", quantile_fraction=0.34),
}
BEST_LR = 0.01
Exploit = tuple[int, int, int, dict[str, Any]]
"""(number of the trial, epoch, epoch of its donor, new values)."""


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@dataclass
class Sweep:
    """A population that is trained in turns; the controller that its scheduler gets.

    An epoch adds to a trial's score what its learning rate deserves, and some noise.
    """

    directory: Path
    name: str
    seed: int = 1
    trials: int = 6
    epochs: int = 8
    exploits: list[Exploit] = field(default_factory=list)
    search_alg: None = None

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.scheduler = self.new_scheduler()
        self.members = [self.new_trial(number) for number in range(self.trials)]
        self.epoch = dict.fromkeys(self.members, 0)
        self.score = dict.fromkeys(self.members, 0.0)
        self.saved: dict[SweepTrial, tuple[int, float]] = {}

    def new_scheduler(self) -> RecordingScheduler:
        inner = build_scheduler(
            SECTIONS[self.name], SPACE, metric="acc", mode="max", max_t=99, seed=self.seed
        )
        switch = PauseSwitch(self.directory / "stop", None)
        log = EventLog(self.directory / "events.jsonl")
        return RecordingScheduler(inner, log, switch, PauseStopper(switch), {"acc": "max"}, SPACE)

    def new_trial(self, number: int, config: dict[str, Any] | None = None) -> SweepTrial:
        register_trainable("fake", Trainable)
        storage = StorageContext(str(self.directory.parent), self.directory.name)
        rng = random.Random(number)
        values = {key: SPACE[key].from_unit(rng.random()) for key in SPACE}
        trial = new_trial(
            SimpleNamespace(spec={"run": "fake", "storage": storage}),
            TrialRecord(f"t{number}", number, f"trial_{number}", {}),
            config or {**values, "training": {"epochs": self.epochs}},
            on_failure=lambda trial, error: RetryDecision(retry=False),
            num_to_keep=9,
        )
        trial.set_status(Trial.RUNNING)
        return trial

    def run(self) -> list[Exploit]:
        """Trains all trials in turns; returns the exploits."""
        controller: Any = self
        for trial in self.members:
            self.scheduler.on_trial_add(controller, trial)
        for _ in range(self.epochs):
            for number, trial in enumerate(self.members):
                self.train(number, trial)
        return self.exploits

    def train(self, number: int, trial: SweepTrial) -> None:
        self.epoch[trial] += 1
        epoch, distance = self.epoch[trial], math.log10(trial.config[LR] / BEST_LR)
        noise = random.Random(f"{number} {epoch}").random()
        self.score[trial] += math.exp(-(distance**2)) + 0.2 * noise
        row = {"epoch": epoch, "acc": self.score[trial], "training_iteration": epoch}
        result = {**row, **{f"config/{key}": trial.config[key] for key in SPACE}}
        trial.run_metadata.last_result = row
        controller: Any = self
        if self.scheduler.on_trial_result(controller, trial, result) == "NOOP":
            saved: Any = trial.run_metadata.checkpoint_manager._latest_checkpoint_result
            donor = saved.checkpoint.trial
            self.epoch[trial], self.score[trial] = self.saved[donor]
            trial.run_metadata.last_result = {"epoch": self.epoch[trial]}
            values = {key: trial.config[key] for key in SPACE}
            assert values != {key: donor.config[key] for key in SPACE}
            self.exploits.append((number, epoch, self.epoch[trial], values))
            trial.set_status(Trial.RUNNING)

    # Controller methods that the scheduler calls.

    def get_trials(self) -> list[SweepTrial]:
        return self.members

    def pause_trial(self, trial: SweepTrial, *, should_checkpoint: bool) -> None:
        assert not should_checkpoint
        trial.set_status(Trial.PAUSED)

    def _schedule_trial_save(self, trial: SweepTrial, *, result: dict[str, Any]) -> Any:
        assert result["epoch"] == self.epoch[trial]
        self.saved[trial] = self.epoch[trial], self.score[trial]
        return SimpleNamespace(trial=trial)


@pytest.fixture(scope="module")
def exploits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Exploit]]:
    """Scheduler -> the exploits of one sweep."""
    directory = tmp_path_factory.mktemp("sweeps")
    return {name: Sweep(directory / name, name).run() for name in SECTIONS}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_same_seed_and_results_give_the_same_exploits(
    name: str, tmp_path: Path, exploits: dict[str, list[Exploit]]
) -> None:
    first = exploits[name]
    random.seed(5)
    assert Sweep(tmp_path / "second", name).run() == first
    assert Sweep(tmp_path / "other", name, seed=2).run() != first
    assert len(first) > 2


def test_choices_leave_the_generator_of_other_code_alone(tmp_path: Path) -> None:
    random.seed(5)
    sweep = Sweep(tmp_path / "sweep", "pbt")
    expected = random.getstate()
    assert sweep.run()
    assert random.getstate() == expected


@pytest.mark.parametrize("name", SECTIONS)
def test_new_values_are_in_the_space_and_of_its_types(
    name: str, exploits: dict[str, list[Exploit]]
) -> None:
    for _, _, _, values in exploits[name]:
        assert all(SPACE[key].can_draw(value) for key, value in values.items())
        assert (type(values[LR]), type(values[BATCH])) == (float, int)


def test_pb2_finds_good_values_between_the_ends_of_a_logarithmic_range(tmp_path: Path) -> None:
    """Searched linearly, nine of ten values would be above 0.1."""
    exploits = Sweep(tmp_path / "sweep", "pb2", epochs=24).run()
    rates = [values[LR] for *_, values in exploits]
    assert len(rates) > 8
    near = [rate for rate in rates if BEST_LR / 10 <= rate <= BEST_LR * 10]
    assert len(near) > 2 / 3 * len(rates)
    assert sum(not 1.1e-4 < rate < 0.9 for rate in rates) <= len(rates) / 5


@pytest.mark.parametrize("name", SECTIONS)
def test_a_replay_brings_back_the_state(name: str, tmp_path: Path) -> None:
    """Each trial continues from where it is, with the values that it has."""
    for epochs in (1, 2, 3, 7):
        sweep = Sweep(tmp_path / f"{epochs}", name, epochs=epochs)
        sweep.run()
        fresh = sweep.new_scheduler()
        trials = {}
        for number, trial in enumerate(sweep.members):
            again = sweep.new_trial(number, dict(trial.config))
            again.run_metadata.last_result = {"epoch": sweep.epoch[trial]}
            trials[trial.trial_id] = again
        events = EventLog(sweep.directory / "events.jsonl").read()
        assert fresh.replay(trials, set(), events) == []
        assert describe(fresh.inner) == describe(sweep.scheduler.inner)


def describe(inner: Any) -> Any:
    """Returns what a population's choices follow from."""
    assert isinstance(inner, pbt.Population)
    states = [
        (state.last_score, state.last_perturbation_time, inner._turn(trial))
        for trial, state in inner._trial_state.items()
    ]
    if not isinstance(inner, pbt.PB2):
        return states
    looks = {trial.trial_id: look for trial, look in inner._looks.items()}
    started = {trial.trial_id: units for trial, units in inner._started.items()}
    return states, inner._improvements, looks, started


@pytest.mark.parametrize(
    ("quantile", "interval", "size"),
    [
        (0.5, 1, 4),
        pytest.param(0.25, 2, 8, marks=pytest.mark.slow),
        pytest.param(0.25, 1, 8, marks=pytest.mark.slow),
    ],
)
def test_a_population_with_one_slot_ends(
    quantile: float, interval: int, size: int, tmp_path: Path
) -> None:
    """A recipient that always went before its donor would exploit it for ever."""
    section = PBT(name="pbt", quantile_fraction=quantile, perturbation_interval=interval)
    space: dict[str, Distribution] = {VALUE: Range(1e-3, 1.0, log=True)}

    def make() -> Any:
        return build_scheduler(section, space, metric="val_acc", mode="max", max_t=size)

    for seed in range(6):
        path = tmp_path / f"{seed}"
        sweep = FakeSweep(path, make, size, size, limit=size, seed=seed, mutated=space)
        Process(sweep).run()
        results = [
            event.trial for event in EventLog(path / "events.jsonl").read() if event.decision
        ]
        assert len(results) <= 3 * size * size


def test_a_lost_exploit_is_no_improvement(tmp_path: Path) -> None:
    """The driver died before the recipient started: it continues with its own values."""
    sweep = Sweep(tmp_path / "sweep", "pb2", epochs=2)
    assert sweep.run()
    number = sweep.exploits[0][0]
    trial, inner = sweep.members[number], sweep.scheduler.inner
    assert isinstance(inner, pbt.PB2)
    trial.config[LR] = 0.5
    before = len(inner._improvements)
    for _ in range(2):
        sweep.train(number, trial)
    assert len(inner._improvements) == before
