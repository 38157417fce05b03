"""A search built in Python is the search file: the same keys, checks and values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweeps
from sweeps import Search, SpaceValue, choice, loguniform
from sweeps.errors import ConfigError
from sweeps.space.parsing import ARGUMENTS, parse_parameter
from sweeps.spec.load import load_search
from trainable.config import load_config

CONFIG = Path(__file__).parents[4] / "configs" / "resnet20_digits.yaml"
EXAMPLES: dict[str, SpaceValue] = {
    "uniform": sweeps.uniform(0.8, 0.99, when={"optimizer.name": "sgd"}),
    "quniform": sweeps.quniform(0, 1, 0.25),
    "loguniform": sweeps.loguniform(1e-4, 1e-1),
    "qloguniform": sweeps.qloguniform(1, 100, 5),
    "randint": sweeps.randint(1, 9),
    "qrandint": sweeps.qrandint(32, 128, 32),
    "lograndint": sweeps.lograndint(1, 1000),
    "qlograndint": sweeps.qlograndint(8, 512, 8),
    "normal": sweeps.normal(0, 1),
    "qnormal": sweeps.qnormal(0, 1, 0.5),
    "lognormal": sweeps.lognormal(0, 1),
    "choice": choice([0, loguniform(1e-6, 1e-2)], weights=(1, 3), when={"a.b": [1, 2]}),
    "grid": sweeps.grid(["a", None, True]),
    "expr": sweeps.expr("0.01 * optimizer.learning_rate"),
    "zip": sweeps.zip_("optimizer.name", [0.1, 1e-3]),
}


def search(**changes: Any) -> Search:
    arguments: dict[str, Any] = {
        "name": "python",
        "config": CONFIG,
        "space": {
            "optimizer.learning_rate": loguniform(1e-4, 1e-1),
            "training.batch_size": choice([32, 64]),
        },
        "tune": {"num_samples": 4, "seed": 1, "scheduler": {"name": "asha", "grace_period": 2}},
        "resources": {"cpu": 1},
        "constraints": ["training.batch_size * optimizer.learning_rate < 64"],
    }
    return Search(**{**arguments, **changes})


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_every_kind_of_the_file_has_a_function_that_writes_it(kind: str) -> None:
    written = EXAMPLES[kind].to_dict()
    assert written[kind] is not None
    assert parse_parameter(written).kind == kind


@pytest.mark.parametrize("form", ["path", "values", "config"])
def test_a_saved_search_is_loaded_as_an_equal_one(form: str, tmp_path: Path) -> None:
    config: Any = CONFIG
    if form != "path":
        config = load_config(CONFIG)
    if form == "values":
        config = config.to_dict()
    built = search(config=config)
    path = built.save(tmp_path / "new" / "search.yaml")
    assert load_search(path) == built.to_spec()
    text = path.read_text()
    assert "  optimizer.learning_rate: {loguniform: [0.0001, 0.1]}\n" in text
    assert "label_smoothing" not in text or form == "values", "only what was given is written"


def test_the_path_of_the_config_is_written_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.yaml").write_text(CONFIG.read_text())
    monkeypatch.chdir(tmp_path)
    built = search(config="train.yaml")
    assert "config: train.yaml\n" in built.to_yaml()
    path = built.save("searches/a/search.yaml")
    assert "config: ../../train.yaml\n" in path.read_text()
    assert load_search(path) == built.to_spec()


def test_values_of_numpy_and_tuples_are_written_as_plain_ones() -> None:
    built = search(space={"training.batch_size": choice(tuple(np.array([32, 64])))})
    assert built.to_dict()["space"] == {"training.batch_size": {"choice": [32, 64]}}
    assert built.to_spec().tune.num_samples == 4


def test_all_problems_are_reported_at_once_by_their_keys(tmp_path: Path) -> None:
    wrong = search(
        space={
            "optimizer.learning_rat": loguniform(1e-1, 1e-4),
            "training.batch_size": choice([]),
        },
        tune={"num_samples": 0},
    )
    with pytest.raises(ConfigError) as caught:
        wrong.validate()
    assert [problem.key for problem in caught.value.problems] == [
        "space.optimizer.learning_rat.loguniform",
        "space.training.batch_size.choice",
        "tune.num_samples",
        "space.optimizer.learning_rat",
    ]
    assert all(problem.line is None for problem in caught.value.problems)
    assert str(caught.value).startswith("search python: 4 problems\n")
    with pytest.raises(ConfigError):
        wrong.save(tmp_path / "search.yaml")
    assert not list(tmp_path.iterdir())


def test_set_has_the_checks_and_messages_of_the_command_line() -> None:
    changed = search().to_spec({"tune.num_samples": 9, "config.training.epochs": 3})
    assert (changed.tune.num_samples, changed.training.training.epochs) == (9, 3)
    with pytest.raises(ConfigError) as caught:
        search().to_spec({"tune.num_sample": 3, "config.training.epochs": 0})
    assert "--set config.training.epochs: must be > 0, found 0" in str(caught.value)
    assert '--set tune.num_sample: unknown key; did you mean "num_samples"?' in str(caught.value)


def test_a_search_and_its_plan_have_one_line_each() -> None:
    built = search()
    assert repr(built) == (
        "<Search python: 4 configurations over optimizer.learning_rate, training.batch_size>"
    )
    plan = built.plan()
    assert (plan.trials, plan.fixed_draws, len(plan.draws)) == (4, 4, 4)
    assert repr(plan).startswith("<SearchPlan: 4 trials, ")
    assert str(plan).startswith("draws by random;")
    assert "\n\n4 configurations: 4 trials\n" in str(plan)
    assert list(plan.draws) == ["optimizer.learning_rate", "training.batch_size"]
    assert dataclasses.replace(built, name="").to_dict().get("name") is None
