"""The JSON schemas in configs/ are current, and say of a file what its own check says."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.json_schema import search_schema, training_schema
from sweeps.spec.load import load_search, parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import Keep, Tune
from trainable.config import MODEL_NAMES, CheckpointConfig, TrainConfig, load_config, parse_config
from trainable.config.yaml_reader import read_yaml
from trainable.errors import ConfigError

CONFIGS = Path(__file__).parents[4] / "configs"
SEARCHES = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").glob("*.yaml"))]
TRAININGS = [path for path in sorted(CONFIGS.glob("*.yaml")) if path not in SEARCHES]
SCHEMAS = {"search": search_schema(), "training": training_schema()}

Change = Callable[[dict[str, Any]], Any]


def passes(kind: str, data: Any) -> bool:
    return not list(jsonschema.Draft7Validator(SCHEMAS[kind]).iter_errors(data))


def is_good(kind: str, data: dict[str, Any]) -> bool:
    try:
        parse_config(data) if kind == "training" else parse_search(data, directory=CONFIGS)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_file_is_what_the_command_prints(kind: str) -> None:
    done = CliRunner().invoke(main, ["schema", kind])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == SCHEMAS[kind]
    written = (CONFIGS / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert written == done.stdout, f"sweep schema {kind} > configs/{kind}.schema.json"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_it_is_a_schema(kind: str) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMAS[kind])


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_every_search_passes_as_written_and_as_resolved(path: Path) -> None:
    assert passes("search", read_yaml(path).data)
    assert passes("search", load_search(path).to_dict())


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_every_training_config_passes_as_written_and_as_resolved(path: Path) -> None:
    assert passes("training", read_yaml(path).data)
    assert passes("training", load_config(path).to_dict())


SEARCH: dict[str, Any] = {
    "config": "resnet20_digits.yaml",
    "space": {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.learning_rate": {"loguniform": [0.001, 1.0]},
        "training.batch_size": {"choice": [32, 64]},
    },
    "tune": {"num_samples": 4},
}

GOOD: dict[str, Change] = {
    "a time budget as text": lambda d: d["tune"].update(time_budget="1.5h"),
    "an algorithm by name": lambda d: d["tune"].update(search_alg="tpe", scheduler="asha"),
    "a grid without a number": lambda d: d.update(
        space={"training.batch_size": {"grid": [32, 64]}}, tune={"search_alg": "grid"}
    ),
    "empty sections": lambda d: d.update(resources=None, failure=None, keep=None, space=None),
    "nulls that mean the default": lambda d: d["tune"].update(mode=None, seed=None, final=None),
    "null for every key with a default": lambda d: (
        d["tune"].update(dict.fromkeys(set(Tune.model_fields) - {"num_samples"})),
        d.update(dict.fromkeys(set(SearchSpec.model_fields) - {"config", "tune"})),
        d.update(keep=dict.fromkeys(Keep.model_fields)),
    ),
    "top trials": lambda d: d.update(keep={"trials": "top 3", "epochs": 2}),
    "a measured part of a GPU": lambda d: d.update(resources={"gpu": "auto"}),
    "all of one GPU": lambda d: d.update(resources={"cpu": 0.5, "gpu": 1}),
    "a condition": lambda d: d["space"].update(
        {"optimizer.momentum": {"uniform": [0.8, 0.9], "when": {"optimizer.name": "sgd"}}}
    ),
    "a range with ends": lambda d: d["space"].update(
        {"optimizer.weight_decay": {"min": 1e-5, "max": 1e-3, "log": True}}
    ),
    "listed values": lambda d: d["space"].update({"training.epochs": {"values": [3, 4]}}),
    "a choice with weights": lambda d: d["space"].update(
        {"training.epochs": {"choice": [3, {"randint": [5, 9]}], "weights": [1, 2.5]}}
    ),
    "linked values": lambda d: d["space"].update(
        {"training.accumulation_steps": {"zip": {"training.batch_size": [1, 2]}}}
    ),
    "derived values": lambda d: d["space"].update(
        {"optimizer.weight_decay": {"expr": "optimizer.learning_rate / 100"}}
    ),
    "constraints": lambda d: d.update(constraints=["optimizer.learning_rate < 0.9"]),
    "more metrics": lambda d: d["tune"].update(pareto={"epoch_s": "min"}),
    "points": lambda d: d["tune"].update(points_to_evaluate=[{"training.batch_size": 32}]),
    "a config inside": lambda d: d.update(config=load_config(TRAININGS[-1]).to_dict()),
}

BROKEN: dict[str, Change] = {
    "a misspelt section": lambda d: d.update(resuorces={"cpu": 1}),
    "a misspelt key": lambda d: d["tune"].update(num_smaples=3),
    "no number of trials": lambda d: d["tune"].pop("num_samples"),
    "no config": lambda d: d.pop("config"),
    "a number as text": lambda d: d["tune"].update(num_samples="4"),
    "nothing to do": lambda d: d["tune"].update(num_samples=0),
    "an unknown metric": lambda d: d["tune"].update(metric="accuracy"),
    "an unknown metric of a front": lambda d: d["tune"].update(pareto={"speed": "max"}),
    "an unknown algorithm": lambda d: d["tune"].update(search_alg="tpo"),
    "another scheduler's key": lambda d: d["tune"].update(
        scheduler={"name": "hyperband", "grace_period": 2}
    ),
    "a budget without a unit": lambda d: d["tune"].update(time_budget="4 hours"),
    "one GPU and a half": lambda d: d.update(resources={"gpu": 1.5}),
    "less than no GPU": lambda d: d.update(resources={"gpu": -1}),
    "a word for a GPU": lambda d: d.update(resources={"gpu": "all"}),
    "an unknown key of the space": lambda d: d["space"].update(
        {"optimizer.learning_rat": {"uniform": [0.1, 0.2]}}
    ),
    "what is the same for all": lambda d: d["space"].update(
        {"checkpoint.dir": {"choice": ["a", "b"]}}
    ),
    "an unknown distribution": lambda d: d["space"].update(
        {"training.batch_size": {"choices": [32]}}
    ),
    "two distributions": lambda d: d["space"].update(
        {"training.epochs": {"choice": [3], "randint": [2, 5]}}
    ),
    "weights of a range": lambda d: d["space"].update(
        {"training.epochs": {"randint": [3, 5], "weights": [1, 2]}}
    ),
    "no weight": lambda d: d["space"].update(
        {"training.epochs": {"choice": [3, 5], "weights": [1, 0]}}
    ),
    "an open range": lambda d: d["space"].update({"training.epochs": {"min": 3}}),
    "a bare list": lambda d: d["space"].update({"training.batch_size": [32, 64]}),
    "too few ends": lambda d: d["space"].update({"training.epochs": {"randint": [2]}}),
    "half epochs": lambda d: d["space"].update({"training.epochs": {"randint": [2, 4.5]}}),
    "a value kept by nobody": lambda d: d.update(keep={"trials": "best 3"}),
    "a name with a path": lambda d: d.update(name="a/b"),
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_a_good_search_passes(change: Change) -> None:
    data = copy.deepcopy(SEARCH)
    change(data)
    assert (is_good("search", data), passes("search", data)) == (True, True)


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_broken_search_fails(change: Change) -> None:
    data = copy.deepcopy(SEARCH)
    change(data)
    assert (is_good("search", data), passes("search", data)) == (False, False)


@pytest.mark.parametrize(
    ("section", "values", "good"),
    [
        ("model", {"name": "vgg11"}, True),
        ("model", {"name": "mine:build"}, True),
        ("model", {"name": "resnet21"}, False),
        ("optimizer", {"name": "adam", "momentum": 0.9, "learning_rate": 0.1}, False),
        ("optimizer", {"name": "sgd", "learning_rate": 0}, False),
        ("optimizer", {"name": "sgd"}, False),
        ("loss", {"label_smoothing": 0.1}, True),
        ("loss", {"beta": 0.1}, False),
        ("scheduler", {"T_max": 5}, True),
        ("scheduler", {"name": "multistep", "milestones": []}, True),
        ("scheduler", {"name": "multistep", "milestones": [0]}, False),
        ("checkpoint", {"experiment_name": None}, True),
        ("checkpoint", dict.fromkeys(CheckpointConfig.model_fields), True),
        ("optimizer", {"name": "sgd", "learning_rate": 0.1, "momentum": None}, True),
        ("optimizer", {"name": "sgd", "learning_rate": None}, False),
        ("loss", None, True),
        ("model", None, False),
        ("checkpoint", {"experiment_name": "../x"}, False),
        ("seed", {"value": True}, False),
    ],
)
def test_a_training_config_passes_if_it_is_good(
    section: str, values: dict[str, Any] | None, good: bool
) -> None:
    data = {**read_yaml(CONFIGS / "resnet20_digits.yaml").data, section: values}
    assert (is_good("training", data), passes("training", data)) == (good, good)


def test_every_key_says_what_it_is_for_or_has_a_name_that_does() -> None:
    tune = SCHEMAS["search"]["$defs"]["Tune"]["properties"]
    assert "Number of configurations" in tune["num_samples"]["description"]
    sgd = SCHEMAS["training"]["$defs"]["StepScheduler"]["properties"]
    assert sgd["warmup_epochs"]["description"].startswith("Epochs of linear warm-up")


def test_names_and_defaults_are_offered() -> None:
    text = json.dumps(SCHEMAS["training"])
    assert all(f'"{name}"' in text for name in MODEL_NAMES)
    entry = SCHEMAS["search"]["$defs"]["SpaceParameter"]["properties"]
    assert set(ARGUMENTS) < set(entry)
    training = SCHEMAS["training"]["$defs"]["TrainingConfig"]["properties"]
    assert training["batch_size"]["default"] == 128
    assert set(SCHEMAS["training"]["properties"]) == set(TrainConfig.model_fields)
