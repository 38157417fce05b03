"""PBT and PB2 as they run: what an exploit takes over, what it leaves alone, what is recorded."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.layout import TrialRecord, value_at
from sweeps.recorder import Recorder
from sweeps.running import Outcome
from sweeps.sweep_trial import SweepTrial
from tests.integration.sweeping import ONE_AT_A_TIME, epochs, events, search, start, trials
from trainable.checkpoint import read_checkpoint, to_cpu
from trainable.classifier import HYPERPARAMETERS
from trainable.config import load_config, parse_config
from trainable.history import read_rows
from trainable.trainer import Trainer

pytestmark = pytest.mark.ray

LR, BATCH = "optimizer.learning_rate", "training.batch_size"
NAME, MOMENTUM = "optimizer.name", "optimizer.momentum"

SPACES: dict[str, dict[str, Any]] = {
    "pbt": {
        LR: {"loguniform": [1e-4, 1.0]},
        BATCH: {"qrandint": [64, 256, 64]},
        NAME: {"choice": ["sgd", "adam"]},
        MOMENTUM: {"uniform": [0.5, 0.9], "when": {NAME: "sgd"}},
    },
    "pb2": {LR: {"loguniform": [1e-4, 1.0]}, BATCH: {"randint": [64, 257]}},
}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "pbt": {"name": "pbt", "hyperparam_mutations": [LR, BATCH]},
    "pb2": {"name": "pb2"},
}


@dataclass
class Exploit:
    """One exploit as the driver ordered it."""

    recipient: str
    donor: str
    epoch: int
    config: dict[str, Any]
    """The recipient's from then on."""
    given: Path
    """A copy of the donor's checkpoint."""
    started: bool = False
    """Whether the recipient began to train with it."""
    after: Path | None = None
    """A copy of the recipient's first checkpoint afterwards."""


@dataclass
class Chronicle:
    """What Tune did in a sweep, in order, with copies of files that are replaced later."""

    directory: Path
    exploits: list[Exploit] = field(default_factory=list)

    def on_exploit(self, scheduler: Any, recipient: Trial, donor: Trial) -> None:
        state = scheduler._trial_state[donor]
        given = self._copy(Path(state.last_checkpoint.path))
        self.exploits.append(
            Exploit(
                recipient.trial_id,
                donor.trial_id,
                state.last_result["epoch"],
                dict(recipient.config),
                given,
            )
        )

    def on_start(self, trial: Trial) -> None:
        exploit = self._last(trial)
        if exploit is not None:
            exploit.started = True

    def on_checkpoint(self, trial: Trial, result: Any) -> None:
        exploit = self._last(trial)
        if exploit is not None and exploit.after is None:
            exploit.after = self._copy(Path(result.checkpoint.path))

    def _last(self, trial: Trial) -> Exploit | None:
        found = [exploit for exploit in self.exploits if exploit.recipient == trial.trial_id]
        return found[-1] if found else None

    def _copy(self, checkpoint: Path) -> Path:
        copy = self.directory / f"{len(list(self.directory.iterdir()))}.pt"
        shutil.copyfile(checkpoint / "checkpoint.pt", copy)
        return copy


@pytest.fixture(scope="module")
def chronicle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chronicle]:
    """Watches exploits and saves in the driver; changes neither."""
    found = Chronicle(tmp_path_factory.mktemp("chronicle"))
    exploit, save = PopulationBasedTraining._exploit, SweepTrial.on_checkpoint
    start_trial = Recorder.on_trial_start

    def on_exploit(self: Any, controller: Any, recipient: Trial, donor: Trial) -> None:
        exploit(self, controller, recipient, donor)
        found.on_exploit(self, recipient, donor)

    def on_checkpoint(self: SweepTrial, result: Any) -> None:
        save(self, result)
        found.on_checkpoint(self, result)

    def on_trial_start(self: Recorder, *args: Any, **info: Any) -> None:
        start_trial(self, *args, **info)
        found.on_start(info["trial"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PopulationBasedTraining, "_exploit", on_exploit)
        patch.setattr(SweepTrial, "on_checkpoint", on_checkpoint)
        patch.setattr(Recorder, "on_trial_start", on_trial_start)
        yield found


@dataclass(frozen=True)
class Population:
    """A finished sweep."""

    outcome: Outcome
    exploits: list[Exploit]

    @property
    def directory(self) -> Path:
        return self.outcome.directory

    @property
    def trials(self) -> dict[str, TrialRecord]:
        return {trial.id: trial for trial in trials(self.directory)}


@pytest.fixture(scope="module", params=["pbt", "pb2"])
def population(
    request: pytest.FixtureRequest,
    ray_session: None,
    chronicle: Chronicle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Population:
    """Four trials, two at a time, of which the worse half is replaced after every epoch."""
    chronicle.exploits.clear()
    random.seed(1)
    spec = search(
        tmp_path_factory.mktemp(request.param),
        space=SPACES[request.param],
        tune={
            "num_samples": 4,
            "scheduler": {
                **SCHEDULERS[request.param],
                "perturbation_interval": 1,
                "quantile_fraction": 0.5,
            },
        },
        config={"checkpoint": {"save_frequency": 1}, "training": {"epochs": 5}},
    )
    return Population(start(spec), list(chronicle.exploits))


def loaded(population: Population) -> list[Exploit]:
    """The exploits after which the recipient trained on."""
    found = [exploit for exploit in population.exploits if exploit.after is not None]
    assert found, "a sweep without a single exploit shows nothing"
    return found


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_recipient_goes_on_from_the_donors_state_with_its_own_values_bit_for_bit(
    population: Population, one_thread: None, assert_same: Callable[[Any, Any], None]
) -> None:
    """Weights, momentum, schedule: an epoch trained here from the donor's file is the same."""
    for exploit in loaded(population):
        assert exploit.after is not None
        after = read_checkpoint(exploit.after)
        trainer = Trainer(
            parse_config(after["config"]), device=torch.device("cpu"), allow_custom_model=True
        )
        given = read_checkpoint(exploit.given)
        assert given["epoch"] == exploit.epoch
        trainer.load_state_dict(given, own=HYPERPARAMETERS)
        trainer.run_epoch()
        expected = to_cpu(trainer.state_dict())
        assert after["epoch"] == expected["epoch"] == exploit.epoch + 1
        for part in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
            assert_same(after[part], expected[part])


def test_the_values_an_exploit_gave_are_in_force(population: Population) -> None:
    for exploit in loaded(population):
        assert exploit.after is not None
        after = read_checkpoint(exploit.after)
        for key in (LR, BATCH):
            assert value_at(after["config"], key) == exploit.config[key]
        assert after["scheduler_state_dict"]["base_lr"] == exploit.config[LR]
        name = after["config"]["optimizer"]["name"]
        assert name == exploit.config["optimizer"]["name"]
        if name == "sgd":
            (group,) = after["optimizer_state_dict"]["param_groups"]
            assert group["momentum"] == exploit.config["optimizer"]["momentum"]


def test_an_exploits_values_stay_inside_the_space_and_keep_their_type(
    population: Population,
) -> None:
    quantised = "qrandint" in population_space(population)[BATCH]
    for exploit in loaded(population):
        assert type(exploit.config[LR]) is float
        assert 1e-4 * (1 - 1e-9) <= exploit.config[LR] <= 1.0
        assert type(exploit.config[BATCH]) is int
        assert 64 <= exploit.config[BATCH] <= 256
        if quantised:
            assert exploit.config[BATCH] % 64 == 0


def population_space(population: Population) -> dict[str, Any]:
    import yaml

    text = (population.directory / "search.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["space"]
    return found


def test_the_lineage_of_a_trial_has_every_exploit_that_it_went_on_from(
    population: Population,
) -> None:
    names = {trial.id: trial.directory for trial in population.trials.values()}
    for trial in population.trials.values():
        expected = [
            {"epoch": exploit.epoch, "donor": names[exploit.donor]}
            for exploit in population.exploits
            if exploit.started and exploit.recipient == trial.id
        ]
        assert [{k: e[k] for k in ("epoch", "donor")} for e in trial.lineage] == expected


def test_a_trials_record_and_config_say_what_it_trains_with_now(population: Population) -> None:
    for trial in population.trials.values():
        directory = population.directory / trial.directory
        config = load_config(directory / "config.yaml").to_dict()
        latest = read_checkpoint(directory / "checkpoints" / "latest.pt")
        assert latest["config"] == config
        if trial.lineage:
            assert trial.current == trial.lineage[-1]["values"]
        for key, value in trial.current.items():
            assert value_at(config, key) == value
        keys = {LR, BATCH}
        if NAME in trial.current:
            keys |= {NAME} | ({MOMENTUM} if trial.current[NAME] == "sgd" else set())
        assert trial.current.keys() == keys


def test_the_table_shows_the_current_values(population: Population) -> None:
    rows = {
        row["trial"]: row for row in csv.DictReader((population.directory / "trials.csv").open())
    }
    assert rows.keys() == population.trials.keys()
    for trial in population.trials.values():
        for key in population_space(population):
            shown = rows[trial.id][key]
            assert shown == str(trial.current.get(key, ""))


def test_every_epoch_is_in_the_metrics_once_and_the_last_is_there(population: Population) -> None:
    for found in epochs(population.directory).values():
        assert found == sorted(set(found))
        assert found[-1] == 5


def test_the_best_of_a_recipient_is_its_own(population: Population) -> None:
    for trial in population.trials.values():
        directory = population.directory / trial.directory
        best = read_checkpoint(directory / "checkpoints" / "best.pt")
        latest = read_checkpoint(directory / "checkpoints" / "latest.pt")
        rows = {row["epoch"]: row for row in read_rows(directory / "metrics.jsonl")}
        assert best["best_acc"] == latest["best_acc"] == rows[5]["best_acc"]
        assert best["resume_state"]["best_epoch"] == best["epoch"]
        trainer = Trainer(
            parse_config(best["config"]), device=torch.device("cpu"), allow_custom_model=True
        )
        trainer.load_state_dict(best)
        assert trainer.score("val").acc == pytest.approx(best["best_acc"], abs=1e-6)


def test_a_donors_checkpoint_stays_until_a_waiting_recipient_has_loaded_it(
    ray_session: None, tmp_path: Path
) -> None:
    """One at a time: the donor has trained and saved on before its recipient gets its turn."""
    spec = search(
        tmp_path,
        space={LR: {"grid": [0.5, 1e-4]}},
        tune={
            "num_samples": 2,
            "search_alg": "grid",
            "scheduler": {"name": "pbt", "perturbation_interval": 6, "quantile_fraction": 0.5},
        },
        config={"checkpoint": {"save_frequency": 1}, "training": {"epochs": 19}},
        resources=ONE_AT_A_TIME,
    )
    outcome = start(spec)
    donor, recipient = trials(outcome.directory)
    assert [trial.state for trial in (donor, recipient)] == ["finished", "finished"]
    assert recipient.failures == []
    assert [taken["epoch"] for taken in recipient.lineage][:1] == [12]
    told = [(e["trial"], e["epoch"]) for e in events(outcome.directory) if e["kind"] == "result"]
    assert told.index((donor.id, 18)) < told.index((recipient.id, 13)), "it did not have to wait"
    kept = list((outcome.directory / donor.directory).glob("checkpoint_*"))
    assert len(kept) <= 3, "what nobody can load any more goes"
