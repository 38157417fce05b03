"""Weighted choices and distributions among the values of a choice, under every algorithm."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import optuna
import pytest

from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from trainable.errors import ConfigError

SEED = 7
SPACE: dict[str, Any] = {
    "optimizer.weight_decay": {"choice": [0, {"loguniform": [1e-6, 1e-2]}]},
    "training.batch_size": {"choice": [16, 32, 64], "weights": [1, 2, 5]},
    "dataset.val_split": {"choice": [None, {"uniform": [0.1, 0.3]}], "weights": [1, 3]},
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
}
ALGORITHMS: dict[str, Any] = {
    "random": "random",
    "qmc": "qmc",
    "tpe": {"name": "tpe", "n_startup_trials": 4},
    "tpe, multivariate": {"name": "tpe", "n_startup_trials": 4, "multivariate": True},
    "gp": {"name": "gp", "n_startup_trials": 10},
    "cmaes": {"name": "cmaes", "n_startup_trials": 4},
    "bohb": {"name": "bohb", "min_points_in_model": 4},
    "NSGAIISampler": {
        "name": "optuna", "sampler": "NSGAIISampler", "args": {"population_size": 4},
    },
    "QMCSampler": {"name": "optuna", "sampler": "QMCSampler"},
}  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore")


def spec_of(algorithm: Any, space: Mapping[str, Any] = SPACE, **tune: Any) -> SearchSpec:
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tune = {"num_samples": 200, "seed": SEED, "search_alg": algorithm, **tune}
    if "bohb" in str(algorithm):
        tune["scheduler"] = "asha"
    return parse_search({"config": config, "space": space, "tune": tune})


def end(searcher: Searcher, number: int, values: Mapping[str, Any]) -> None:
    value = -abs(math.log10(values["optimizer.learning_rate"]) + 1)
    value -= values["optimizer.weight_decay"]
    searcher.report(number, 1, value)
    searcher.tell(number, values, [value])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_draws_every_option_and_goes_on_as_if_not_interrupted(name: str) -> None:
    spec = spec_of(ALGORITHMS[name])
    searcher, resumed = Searcher(spec), Searcher(parse_search(spec.to_dict()))
    kinds = set()
    for number in range(12):
        values = searcher.suggest(number)
        assert values is not None
        if number >= 10:
            assert resumed.suggest(number) == values
        else:
            resumed.add_running(number, values)
        for one in (searcher, resumed):
            end(one, number, values)
        config = spec.trial_config(values, number)
        assert config.optimizer.weight_decay == values["optimizer.weight_decay"]
        assert config.dataset.val_split == values["dataset.val_split"]
        kinds.add(values["optimizer.weight_decay"] == 0)
    assert kinds == {True, False}


@pytest.mark.parametrize("algorithm", ["random", "qmc", {"name": "tpe", "n_startup_trials": 100}])
def test_weights_hold_where_values_are_drawn_at_random(algorithm: Any) -> None:
    searcher, counts, splits = Searcher(spec_of(algorithm)), Counter[int](), 0
    for number in range(100):
        values = searcher.suggest(number)
        assert values is not None
        counts[values["training.batch_size"]] += 1
        splits += values["dataset.val_split"] is None
    shares = [counts[size] / 100 for size in (16, 32, 64)]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.12)
    assert splits / 100 == pytest.approx(1 / 4, abs=0.12)


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler"])
def test_a_distribution_in_a_choice_is_a_conditional_parameter_of_optunas(name: str) -> None:
    space = {key: SPACE[key] for key in ("optimizer.weight_decay", "optimizer.learning_rate")}
    searcher = Searcher(spec_of({"name": "optuna", "sampler": name}, space))
    sampler = getattr(optuna.samplers, name)(seed=SEED)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for number in range(14):
        values, trial = searcher.suggest(number), study.ask()
        assert values is not None
        decay = 0.0
        if trial.suggest_categorical("optimizer.weight_decay", [0, 1]):
            decay = trial.suggest_float("optimizer.weight_decay[1]", 1e-6, 1e-2, log=True)
        rate = trial.suggest_float("optimizer.learning_rate", 1e-3, 1.0, log=True)
        assert values == {"optimizer.weight_decay": decay, "optimizer.learning_rate": rate}
        searcher.tell(number, values, [rate])
        study.tell(trial, rate)


@pytest.mark.parametrize(
    ("space", "tune", "problem"),
    [
        (
            {"optimizer.weight_decay": SPACE["optimizer.weight_decay"]},
            {"search_alg": "grid"},
            "tune.search_alg: grid takes choice and grid only, found a choice with a distribution "
            "in it for optimizer.weight_decay",
        ),
        (
            {"training.batch_size": SPACE["training.batch_size"]},
            {"search_alg": "grid"},
            "tune.search_alg: grid tries every value of training.batch_size equally often; leave "
            "weights out",
        ),
        (
            {"optimizer.weight_decay": SPACE["optimizer.weight_decay"],
             "training.batch_size": {"choice": [16], "when": {"optimizer.weight_decay": 0}}},
            {"search_alg": "random"},
            "space.training.batch_size.when.optimizer.weight_decay: must be a choice or a grid of "
            "the space, found a choice with a distribution in it",
        ),
        (
            {"optimizer.weight_decay": {"choice": [0, {"uniform": [-1, 2]}]}},
            {"search_alg": "random"},
            "space.optimizer.weight_decay: must be >= 0, found -1.0",
        ),
        (
            {"optimizer.weight_decay": SPACE["optimizer.weight_decay"]},
            {"search_alg": "random", "points_to_evaluate": [{"optimizer.weight_decay": 1}]},
            'tune.points_to_evaluate[0].optimizer.weight_decay: must be one that {"choice": [0.0, '
            '{"loguniform": [1e-06, 0.01]}]} can draw, found 1',
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(
    space: dict[str, Any], tune: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as error:
        spec_of(tune.pop("search_alg"), space, num_samples=2, **tune)
    assert [f"{p.key}: {p.rule}" for p in error.value.problems] == [problem]
