"""The searcher's suggestions, in an uninterrupted and in a resumed sweep."""

import math

import optuna
import pytest

from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 9},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}

SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "optimizer.momentum": {"uniform": [0.8, 0.99], "when": {"optimizer.name": "sgd"}},
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.betas": {
        "choice": [[0.9, 0.999], [0.8, 0.99]],
        "when": {"optimizer.name": "adamw"},
    },
    "training.batch_size": {"qrandint": [32, 128, 32]},
    "optimizer.weight_decay": {"lognormal": [-8, 1]},
}

GRID = {
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.learning_rate": {"grid": [0.3, 0.1]},
    "optimizer.nesterov": {"grid": [True, False], "when": {"optimizer.name": "sgd"}},
}

TPE = {"name": "tpe", "n_startup_trials": 4}
ALGORITHMS = {
    "random": (SPACE, "random"),
    "random with a grid": ({**SPACE, "training.epochs": {"grid": [3, 4, 5]}}, "random"),
    "grid": (GRID, "grid"),
    "tpe": (SPACE, TPE),
    "tpe, multivariate": (SPACE, {**TPE, "multivariate": True}),
}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def spec_of(algorithm, seed=3, trials=14, **tune):
    space, search_alg = ALGORITHMS[algorithm]
    size = {} if algorithm == "grid" else {"num_samples": trials}
    data = {
        "config": CONFIG,
        "space": space,
        "tune": {"search_alg": search_alg, "seed": seed, **size, **tune},
    }
    return parse_search(data)


def score(number, values):
    """Best near a learning rate of 0.03 with sgd; some trials fail, reported as None or as NaN."""
    if number % 5 == 2:
        return [None, math.nan][number % 2]
    return -abs(math.log10(values["optimizer.learning_rate"]) + 1.5) - (
        values["optimizer.name"] != "sgd"
    )


def scores(number, values):
    value = score(number, values)
    return None if value is None else [value]


def run(searcher, start, stop, delay=0, running=None):
    """Suggests trials `start` to `stop`; each ends when `delay` later ones have been suggested."""
    suggested, running = [], list(running or [])
    for number in range(start, stop):
        values = searcher.suggest(number)
        suggested.append(values)
        if values is not None:
            running.append((number, values))
        while len(running) > delay:
            ended, tried = running.pop(0)
            searcher.tell(ended, tried, scores(ended, tried))
    return suggested, running


@every_algorithm
def test_every_suggestion_makes_a_training_config(algorithm):
    spec = spec_of(algorithm)
    for number, values in enumerate(run(Searcher(spec), 0, spec.tune.num_samples)[0]):
        config = spec.trial_config(values, number)
        assert config.optimizer.learning_rate == values["optimizer.learning_rate"]
        assert ("optimizer.momentum" in values) <= (values["optimizer.name"] == "sgd")


@every_algorithm
def test_suggestions_repeat_under_their_seed(algorithm):
    first, second = (run(Searcher(spec_of(algorithm)), 0, 9)[0] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "grid"])
def test_suggestions_differ_under_another_seed(algorithm):
    first, second = (run(Searcher(spec_of(algorithm, seed)), 0, 6)[0] for seed in (1, 2))
    assert first != second


@every_algorithm
@pytest.mark.parametrize(
    "delay", [3, *(pytest.param(delay, marks=pytest.mark.slow) for delay in (0, 1))]
)
def test_a_rebuilt_searcher_suggests_the_same_at_any_cut(algorithm, delay):
    """`delay` trials are unfinished at the cut; the order of ends is not kept."""
    spec = spec_of(algorithm)
    whole, _ = run(Searcher(spec), 0, 11, delay)
    for cut in (1, 4, 5, 10):  # TPE draws the first four at random
        before, unfinished = run(Searcher(spec), 0, cut, delay)
        assert before == whole[:cut]
        rebuilt = Searcher(parse_search(spec.to_dict()))
        numbers = {number for number, _ in unfinished}
        for number, values in reversed(list(enumerate(before))):
            if number in numbers:
                rebuilt.add_running(number, values)
            elif values is not None:
                rebuilt.tell(number, values, scores(number, values))
        after, _ = run(rebuilt, cut, 11, delay, unfinished)
        assert after == whole[cut:]


@every_algorithm
def test_no_two_suggestions_are_the_same(algorithm):
    suggested, _ = run(Searcher(spec_of(algorithm)), 0, 14)
    assert len({str(values) for values in suggested if values}) == sum(map(bool, suggested))


def test_suggestions_of_tpe_depend_on_the_scores():
    first, second = Searcher(spec_of("tpe")), Searcher(spec_of("tpe"))
    for number in range(8):
        values = first.suggest(number)
        first.tell(number, values, scores(number, values))
        second.tell(number, values, [-(score(number, values) or 0)])
    assert first.suggest(8) != second.suggest(8)


def test_tpe_avoids_the_values_of_running_trials():
    first, second = Searcher(spec_of("tpe")), Searcher(spec_of("tpe"))
    source = Searcher(spec_of("random"))
    for number in range(8):
        values = source.suggest(number)
        for searcher in (first, second):
            searcher.tell(number, values, [score(1, values)])
    first.add_running(8, source.suggest(8))
    second.add_running(8, source.suggest(9))
    assert first.suggest(10) != second.suggest(10)


def distances(trials, **tune):
    searcher = Searcher(spec_of("tpe", trials=trials, **tune))
    sign = -1 if tune.get("mode") == "min" else 1
    suggested = []
    for number in range(trials):
        suggested.append(searcher.suggest(number))
        searcher.tell(number, suggested[-1], [sign * score(1, suggested[-1])])
    return [-score(1, values) for values in suggested[-10:]]


@pytest.mark.slow
def test_tpe_gets_closer_to_the_best_values_than_chance_in_both_modes():
    searcher = Searcher(spec_of("random", trials=40))
    by_chance = [-score(1, searcher.suggest(number)) for number in range(40)]
    for tune in ({"mode": "max"}, {"metric": "val_loss", "mode": "min"}):
        assert sum(distances(40, **tune)) / 10 < sum(by_chance) / 40 / 1.5


def test_failed_trials_do_not_change_suggestions_of_tpe():
    spec = spec_of("tpe")
    first, second = Searcher(spec), Searcher(spec)
    source = Searcher(spec_of("random"))
    for number in range(6):
        values = source.suggest(number)
        for searcher in (first, second):
            searcher.tell(number, values, [score(1, values)])
    first.tell(6, source.suggest(6), None)
    second.tell(6, source.suggest(7), [math.nan])
    assert first.suggest(8) == second.suggest(8)


def test_a_grid_suggests_each_point_once_and_then_nothing():
    spec = spec_of("grid")
    searcher = Searcher(spec)
    points = [searcher.suggest(number) for number in range(spec.tune.num_samples)]
    assert len({tuple(point.items()) for point in points}) == len(points) == 6
    assert points[0] == {
        "optimizer.name": "sgd",
        "optimizer.learning_rate": 0.3,
        "optimizer.nesterov": True,
    }
    assert searcher.suggest(6) is None


def test_a_grid_with_fewer_samples_suggests_its_first_points():
    spec = spec_of("grid", num_samples=4)
    searcher = Searcher(spec)
    assert searcher.suggest(3) == Searcher(spec_of("grid")).suggest(3)
    assert searcher.suggest(4) is None


def test_an_empty_space_has_trials_without_values():
    for algorithm in ("random", "tpe"):
        data = {"config": CONFIG, "tune": {"search_alg": algorithm, "num_samples": 2}}
        searcher = Searcher(parse_search(data))
        assert [searcher.suggest(number) for number in range(2)] == [{}, {}]


def test_optuna_prints_nothing(capfd, recwarn):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    run(Searcher(spec_of("tpe, multivariate")), 0, 8)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
