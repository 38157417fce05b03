"""PBT and PB2 in real sweeps: what exploits copy, keep and record."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.results.outcome import Outcome
from sweeps.sweep_dir.records import TrialRecord
from tests.integration.chronicle import Exploit, one_epoch_after, watched
from tests.integration.sweeping import ONE_AT_A_TIME, epochs, search, start, trials
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.config import load_config, parse_config
from trainable.config.dotted import get_dotted
from trainable.training.trainer import Trainer

pytestmark = pytest.mark.ray

EPOCHS = 4
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


@pytest.fixture(
    scope="module", params=["pbt", pytest.param("pb2", marks=[pytest.mark.slow, pytest.mark.long])]
)
def population(
    request: pytest.FixtureRequest,
    ray_session: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Population:
    """Four trials in turn; after every epoch the worse half exploits the better."""
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
        config={"checkpoint": {"save_frequency": 1}, "training": {"epochs": EPOCHS}},
        resources=ONE_AT_A_TIME,
    )
    with watched(tmp_path_factory.mktemp("chronicle")) as chronicle:
        return Population(start(spec), chronicle.exploits)


def loaded_exploits(population: Population) -> list[Exploit]:
    """Lists the exploits after which the recipient has trained."""
    exploits = [exploit for exploit in population.exploits if exploit.after is not None]
    assert exploits, "a sweep without any exploit shows nothing"
    return exploits


def test_a_recipient_continues_the_donors_state_with_its_own_values_bit_for_bit(
    population: Population, assert_same: Callable[[Any, Any], None]
) -> None:
    """An epoch trained here from the donor's file gives equal weights, momentum and schedule."""
    for exploit in loaded_exploits(population):
        assert exploit.after is not None
        after = read_checkpoint(exploit.after)
        donor = read_checkpoint(exploit.donor_copy)
        assert (donor["epoch"], after["epoch"]) == (exploit.epoch, exploit.epoch + 1)
        expected = one_epoch_after(donor, after["config"])
        for part in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
            assert_same(after[part], expected[part])


def test_a_recipient_trains_with_the_values_of_its_exploit(population: Population) -> None:
    for exploit in loaded_exploits(population):
        assert exploit.after is not None
        after = read_checkpoint(exploit.after)
        for key in (LR, BATCH):
            assert get_dotted(after["config"], key) == exploit.config[key]
        assert after["scheduler_state_dict"]["base_lr"] == exploit.config[LR]
        name = after["config"]["optimizer"]["name"]
        assert name == exploit.config["optimizer"]["name"]
        if name == "sgd":
            (group,) = after["optimizer_state_dict"]["param_groups"]
            assert group["momentum"] == exploit.config["optimizer"]["momentum"]


def test_values_of_an_exploit_stay_inside_the_space_and_keep_their_type(
    population: Population,
) -> None:
    quantized = "qrandint" in population_space(population)[BATCH]
    for exploit in loaded_exploits(population):
        assert type(exploit.config[LR]) is float
        assert 1e-4 * (1 - 1e-9) <= exploit.config[LR] <= 1.0
        assert type(exploit.config[BATCH]) is int
        assert 64 <= exploit.config[BATCH] <= 256
        if quantized:
            assert exploit.config[BATCH] % 64 == 0


def population_space(population: Population) -> dict[str, Any]:
    import yaml

    text = (population.directory / "search.yaml").read_text()
    space: dict[str, Any] = yaml.safe_load(text)["space"]
    return space


def test_the_lineage_of_a_trial_has_every_exploit_that_it_trained_with(
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


def test_a_trials_record_and_config_have_its_current_values(population: Population) -> None:
    for trial in population.trials.values():
        directory = population.directory / trial.directory
        config = load_config(directory / "config.yaml").to_dict()
        latest = read_checkpoint(directory / "checkpoints" / "latest.pt")
        assert latest["config"] == config
        if trial.lineage:
            assert trial.current == trial.lineage[-1]["values"]
        for key, value in trial.current.items():
            assert get_dotted(config, key) == value
        keys = {LR, BATCH}
        if NAME in trial.current:
            keys |= {NAME} | ({MOMENTUM} if trial.current[NAME] == "sgd" else set())
        assert trial.current.keys() == keys


def test_every_epoch_records_the_values_that_it_was_trained_with(population: Population) -> None:
    """Where an epoch is the best one, its state is in `best.pt`, with the config of that epoch."""
    changed = 0
    for trial in population.trials.values():
        directory = population.directory / trial.directory
        rows = read_rows(directory / "metrics.jsonl")
        assert rows[-1]["values"] == trial.current
        states = [read_checkpoint(path) for path in (directory / "checkpoints").glob("*.pt")]
        for row in rows:
            for state in states:
                if state["epoch"] == row["epoch"]:
                    values = {key: get_dotted(state["config"], key) for key in row["values"]}
                    assert values == row["values"]
        changed += rows[0]["values"] != rows[-1]["values"]
    assert changed


def test_the_table_shows_the_values_of_the_best_epoch(population: Population) -> None:
    rows = {
        row["trial"]: row for row in csv.DictReader((population.directory / "trials.csv").open())
    }
    assert rows.keys() == population.trials.keys()
    for result in population.outcome.results:
        assert result.best is not None
        for key in population_space(population):
            shown = rows[result.record.id][key]
            assert shown == str(result.best["values"].get(key, ""))


def test_the_best_config_is_that_of_the_best_epoch(population: Population) -> None:
    best = population.outcome.results[0]
    state = read_checkpoint(best.directory / "checkpoints" / "best.pt")
    assert best.best is not None
    assert state["epoch"] == best.best["epoch"]
    config = load_config(population.directory / "best_config.yaml").to_dict()
    assert config["optimizer"] == state["config"]["optimizer"]
    assert config["training"] == state["config"]["training"]


def test_every_epoch_is_in_the_metrics_once_up_to_the_last(population: Population) -> None:
    for trial_epochs in epochs(population.directory).values():
        assert trial_epochs == sorted(set(trial_epochs))
        assert trial_epochs[-1] == EPOCHS


def test_the_best_checkpoint_of_a_recipient_is_its_own(population: Population) -> None:
    for trial in population.trials.values():
        directory = population.directory / trial.directory
        best = read_checkpoint(directory / "checkpoints" / "best.pt")
        latest = read_checkpoint(directory / "checkpoints" / "latest.pt")
        rows = {row["epoch"]: row for row in read_rows(directory / "metrics.jsonl")}
        assert best["best_acc"] == latest["best_acc"] == rows[EPOCHS]["best_acc"]
        assert best["resume_state"]["best_epoch"] == best["epoch"]
        trainer = Trainer(
            parse_config(best["config"]), device=torch.device("cpu"), allow_custom_model=True
        )
        trainer.load_state_dict(best)
        assert trainer.score("val").acc == pytest.approx(best["best_acc"], abs=1e-6)
