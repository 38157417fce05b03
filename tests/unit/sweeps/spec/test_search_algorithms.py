"""The section `tune.search_alg`: algorithms by name, and those that were removed."""

import pytest

from sweeps.spec.load import parse_search
from sweeps.spec.search_algorithms import REMOVED, OptunaSearch
from trainable.errors import ConfigError


def spec_of(search_alg):
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    space = {"optimizer.learning_rate": {"uniform": [0.001, 1]}}
    tune = {"num_samples": 3, "seed": 1, "search_alg": search_alg}
    return parse_search({"config": config, "space": space, "tune": tune})


def problems(search_alg):
    with pytest.raises(ConfigError) as error:
        spec_of(search_alg)
    return [f"{problem.key}: {problem.rule}" for problem in error.value.problems]


@pytest.mark.parametrize(
    ("search_alg", "problem"),
    [
        (
            "hyperopt",
            "hyperopt, the Parzen estimator of the package hyperopt, was removed; the nearest is "
            "tpe",
        ),
        (
            {"name": "bayesopt", "n_startup_trials": 3},
            "bayesopt, the Gaussian process of the package bayesian-optimization, was removed; "
            "the nearest is gp",
        ),
        (
            {"name": "nevergrad", "optimizer": "CMA"},
            "nevergrad, evolution strategies of the package nevergrad, was removed; the nearest "
            "is cmaes",
        ),
    ],
)
def test_a_removed_algorithm_is_named_in_one_line_with_the_nearest(search_alg, problem):
    assert problems(search_alg) == [f"tune.search_alg: {problem}"]


@pytest.mark.parametrize("name", REMOVED)
def test_the_nearest_of_a_removed_algorithm_exists(name):
    _, nearest = REMOVED[name]
    assert problems(name)[0].endswith(f"was removed; the nearest is {nearest}")
    assert spec_of(nearest).tune.search_alg.name == nearest


def test_a_sampler_of_optuna_is_written_and_read_with_its_arguments():
    search_alg = {"name": "optuna", "sampler": "NSGAIISampler", "args": {"population_size": 8}}
    spec = spec_of(search_alg)
    assert spec.to_dict()["tune"]["search_alg"] == search_alg
    assert parse_search(spec.to_dict()).tune.search_alg == spec.tune.search_alg


def test_the_sampler_is_required():
    assert problems("optuna") == ["tune.search_alg.sampler: required key is missing"]


@pytest.mark.parametrize(
    ("sampler", "is_custom"), [("TPESampler", False), ("my_samplers:Best", True)]
)
def test_module_and_class_name_a_sampler_of_the_users(sampler, is_custom):
    assert OptunaSearch(name="optuna", sampler=sampler).is_custom is is_custom
