"""Algorithms that Ray has from other packages; those whose package is not here are skipped."""

import math
import random

import numpy as np
import pytest

from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from sweeps.spec.search_algorithms import NEEDS, OF_RAY
from trainable.errors import ConfigError

SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "optimizer.nesterov": {"choice": [True, False]},
    "optimizer.momentum": {"uniform": [0.5, 0.99], "when": {"optimizer.nesterov": True}},
    "training.batch_size": {"choice": [32, 64, 128]},
    "training.epochs": {"randint": [5, 10]},
}
CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 9},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
BEGIN_SOONER = {"hyperopt": 4, "bayesopt": 4, "hebo": 4}
"""n_startup_trials of those that have it."""

COSTLY = ("bayesopt", "ax", "hebo")
"""Those that take a good part of a second for each trial."""


def spec_of(name, space=SPACE, **tune):
    if name in OF_RAY:
        for module in NEEDS[name].modules:
            pytest.importorskip(module)
    begin = BEGIN_SOONER.get(name)
    algorithm = {"name": name} | ({"n_startup_trials": begin} if begin else {})
    constraints = ["training.batch_size * optimizer.learning_rate < 64"]
    tune = {"num_samples": 40, "seed": 3, "search_alg": algorithm, **tune}
    return parse_search(
        {"config": CONFIG, "space": space, "constraints": constraints, "tune": tune}
    )


def score(values):
    rate = abs(math.log10(values["optimizer.learning_rate"]) + 1)
    return -rate - abs(values.get("optimizer.momentum", 0.5) - 0.9)


def tried(name, trials):
    searcher = Searcher(spec_of(name))
    found = []
    for number in range(trials):
        found.append(searcher.suggest(number))
        searcher.tell(number, found[-1], [score(found[-1])])
    return found


@pytest.mark.parametrize("name", [name for name in OF_RAY if name not in COSTLY])
def test_they_learn(name):
    spec = spec_of(name)
    learnt = [score(values) for values in tried(name, 40)][-15:]
    by_chance = [score(values) for values in tried("random", 40)]
    assert sum(learnt) / 15 > sum(by_chance) / 40 + 0.2
    for values in tried(name, 8):
        assert ("optimizer.momentum" in values) == values["optimizer.nesterov"]
        assert all(spec.space[key].can_draw(value) for key, value in values.items())


@pytest.mark.parametrize("name", COSTLY)
def test_those_that_model_with_care_propose_what_is_good(name):
    """Told of twelve random trials, the best of which nobody needs to search for."""
    searcher = Searcher(spec_of(name))
    known = [score(values) for values in tried("random", 12)]
    for number, values in enumerate(tried("random", 12)):
        searcher.tell(number, values, [known[number]])
    assert score(searcher.suggest(12)) > sum(known) / len(known)


@pytest.mark.parametrize("name", OF_RAY)
def test_a_searcher_of_another_process_told_the_same_goes_on_the_same(name):
    """Some trials run when the first process ends, and one of the first has failed."""
    spec, points = spec_of(name), tried("random", 12)
    first, second = Searcher(spec), Searcher(parse_search(spec.to_dict()))
    for searcher in (first, second):
        for number, values in enumerate(points):
            searcher.restore(number, values)
            if number % 5 != 4:
                searcher.tell(number, values, None if number == 1 else [score(values)])
    states = random.getstate(), np.random.get_state()[1].tolist()
    found = first.suggest(12)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    random.seed(1)
    np.random.seed(1)
    assert found == second.suggest(12)
    assert found != Searcher(spec_of("random")).suggest(12)  # it was not left to chance


@pytest.mark.parametrize("name", OF_RAY)
def test_the_same_values_may_come_twice(name):
    """A small space of whole numbers: in two trials they are the same number in every respect."""
    space = {"training.epochs": {"randint": [5, 9]}}
    begin = BEGIN_SOONER.get(name)
    algorithm = {"name": name} | ({"n_startup_trials": begin} if begin else {})
    searcher = Searcher(spec_of(name, space, search_alg=algorithm))
    for number in range(8):
        searcher.tell(number, {"training.epochs": 5 + number % 4}, [number % 4 / 10])
    assert searcher.suggest(8)["training.epochs"] in range(5, 9)


def test_those_of_nevergrad_can_be_told_what_they_did_not_ask_for():
    for optimizer in ("OnePlusOne", "TBPSA", "CMA", "TwoPointsDE"):
        searcher = Searcher(
            spec_of(
                "nevergrad",
                search_alg={
                    "name": "nevergrad",
                    "optimizer": optimizer,
                },
            )
        )
        for number, values in enumerate(tried("random", 12)):
            searcher.tell(number, values, [score(values)])
        assert searcher.suggest(12) != Searcher(spec_of("random")).suggest(12)


@pytest.mark.parametrize("name", NEEDS)
def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch, name):
    monkeypatch.setattr("sweeps.spec.validate_search.find_spec", lambda module: None)
    needed = NEEDS[name]
    with pytest.raises(ConfigError) as error:
        parse_search(
            {
                "config": CONFIG,
                "space": SPACE,
                "tune": {
                    "num_samples": 4,
                    "search_alg": name,
                },
            }
        )
    (problem,) = error.value.problems
    assert problem.key == "tune.search_alg"
    assert problem.rule == f"{name} needs the package {needed.package}, not here: {needed.command}"
    assert needed.package in needed.command


@pytest.mark.parametrize(
    ("name", "version", "rule"),
    [
        ("ax", "1.3.1", "ax works with ax-platform below 1.3, found 1.3.1: pip install"),
        ("ax", "1.2.4", None),
        ("bayesopt", "2.0.0", "bayesopt works with bayesian-optimization below 2, found 2.0.0"),
    ],
)
def test_a_package_too_new_for_ray_is_refused(monkeypatch, name, version, rule):
    monkeypatch.setattr("sweeps.spec.validate_search.find_spec", lambda module: module)
    monkeypatch.setattr("sweeps.spec.validate_search.version", lambda package: version)
    data = {"config": CONFIG, "space": SPACE, "tune": {"num_samples": 4, "search_alg": name}}
    if rule is None:
        assert parse_search(data).tune.search_alg.name == name
        return
    with pytest.raises(ConfigError, match=rule):
        parse_search(data)


def test_a_package_without_one_of_its_own_is_told(monkeypatch):
    """HEBO is installed without what it asks for, so that may be forgotten."""
    monkeypatch.setattr(
        "sweeps.spec.validate_search.find_spec",
        lambda module: None if module == "pymoo" else module,
    )
    data = {"config": CONFIG, "space": SPACE, "tune": {"num_samples": 4, "search_alg": "hebo"}}
    with pytest.raises(ConfigError, match="needs the package HEBO with its pymoo, not here: pip"):
        parse_search(data)
