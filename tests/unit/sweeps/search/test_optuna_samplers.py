"""A suggestion equals the one of bare Optuna under the same seed, also after a resume."""

import math

import numpy as np
import optuna
import pytest

from sweeps.search.optuna_samplers import OptunaSuggester
from sweeps.search.searcher import Searcher
from sweeps.search.study_history import Observation
from sweeps.spec.load import parse_search

SEED = 7
SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "optimizer.momentum": {"uniform": [0.5, 0.99]},
    "training.batch_size": {"choice": [32, 64, 128]},
    "training.epochs": {"randint": [5, 10]},
    "scheduler.warmup_epochs": {"qrandint": [0, 4, 2]},
}
STATELESS = {
    "tpe": {"name": "tpe", "n_startup_trials": 4},
    "tpe, multivariate": {"name": "tpe", "n_startup_trials": 4, "multivariate": True},
    "gp": {"name": "gp", "n_startup_trials": 4},
}
"""Their sampler has a new seed for every trial."""

STATEFUL = {
    "cmaes": (
        {"name": "cmaes", "n_startup_trials": 4},
        lambda: optuna.samplers.CmaEsSampler(seed=SEED, n_startup_trials=4),
    ),
    "RandomSampler": (
        {"name": "optuna", "sampler": "RandomSampler"},
        lambda: optuna.samplers.RandomSampler(seed=SEED),
    ),
    "NSGAIISampler": (
        {"name": "optuna", "sampler": "NSGAIISampler", "args": {"population_size": 4}},
        lambda: optuna.samplers.NSGAIISampler(seed=SEED, population_size=4),
    ),
    "NSGAIIISampler": (
        {"name": "optuna", "sampler": "NSGAIIISampler", "args": {"population_size": 4}},
        lambda: optuna.samplers.NSGAIIISampler(seed=SEED, population_size=4),
    ),
    "QMCSampler": (
        {"name": "optuna", "sampler": "QMCSampler", "args": {"scramble": True}},
        lambda: optuna.samplers.QMCSampler(seed=SEED, scramble=True),
    ),
    "TPESampler": (
        {"name": "optuna", "sampler": "TPESampler", "args": {"n_ei_candidates": 8}},
        lambda: optuna.samplers.TPESampler(seed=SEED, n_ei_candidates=8),
    ),
}
"""Name -> `search_alg`, and the sampler of Optuna that goes through the whole study."""

ALGORITHMS = STATELESS | {name: search_alg for name, (search_alg, _) in STATEFUL.items()}
quiet = pytest.mark.filterwarnings("ignore")

QUICK = {("tpe", 3), ("gp", 0), ("cmaes", 3), ("NSGAIISampler", 0), ("QMCSampler", 3)}
"""Pairs of an algorithm and a delay that the default run tries."""


def spec_of(algorithm, space=SPACE, **tune):
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tune = {"num_samples": 40, "seed": SEED, "search_alg": algorithm, **tune}
    return parse_search({"config": config, "space": space, "tune": tune})


def score(values):
    return -abs(math.log10(values["optimizer.learning_rate"]) + 1) - abs(
        values["optimizer.momentum"] - 0.9
    )


def stateless_sampler(name, number):
    seed = int(np.random.SeedSequence([SEED, number, 0]).generate_state(1)[0])
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=4)
    multivariate = name != "tpe"
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=4, multivariate=multivariate, group=multivariate
    )


def suggest(trial):
    return {
        "optimizer.learning_rate": trial.suggest_float(
            "optimizer.learning_rate", 1e-3, 1.0, log=True
        ),
        "optimizer.momentum": trial.suggest_float("optimizer.momentum", 0.5, 0.99),
        "training.batch_size": [32, 64, 128][
            trial.suggest_categorical("training.batch_size", [0, 1, 2])
        ],
        "training.epochs": trial.suggest_int("training.epochs", 5, 9),
        "scheduler.warmup_epochs": trial.suggest_int("scheduler.warmup_epochs", 0, 4, step=2),
    }


@quiet
@pytest.mark.parametrize("name", STATELESS)
def test_suggestions_equal_those_of_bare_optuna_whose_sampler_is_seeded_for_each(name):
    searcher = Searcher(spec_of(STATELESS[name]))
    study = optuna.create_study(direction="maximize")
    for number in range(6 if name == "gp" else 16):
        study.sampler = stateless_sampler(name, number)
        values, trial = searcher.suggest(number), study.ask()
        assert values == suggest(trial), number
        searcher.tell(number, values, [score(values)])
        study.tell(trial, score(values))


@quiet
@pytest.mark.parametrize("name", STATEFUL)
def test_suggestions_equal_those_of_bare_optuna_with_the_seed_of_the_sweep(name):
    """One trial after the other, a failed one among them."""
    search_alg, make_sampler = STATEFUL[name]
    searcher = Searcher(spec_of(search_alg))
    study = optuna.create_study(direction="maximize", sampler=make_sampler())
    for number in range(16):
        values, trial = searcher.suggest(number), study.ask()
        assert values == suggest(trial), number
        if number == 3:
            searcher.tell(number, values, None)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            searcher.tell(number, values, [score(values)])
            study.tell(trial, score(values))


@quiet
@pytest.mark.parametrize("name", ["NSGAIISampler", "QMCSampler"])
def test_suggestions_equal_those_of_bare_optuna_with_several_metrics(name):
    search_alg, make_sampler = STATEFUL[name]
    searcher = Searcher(spec_of(search_alg, pareto={"train_loss": "min"}))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=make_sampler())
    for number in range(14):
        values, trial = searcher.suggest(number), study.ask()
        assert values == suggest(trial), number
        scores = [score(values), values["optimizer.momentum"]]
        searcher.tell(number, values, scores)
        study.tell(trial, scores)


def run(searcher, start, stop, delay, running=()):
    """Suggests trials; each ends when `delay` later ones have been suggested."""
    suggested, running = [], list(running)
    for number in range(start, stop):
        values = searcher.suggest(number)
        suggested.append(values)
        running.append((number, values))
        while len(running) > delay:
            ended, tried = running.pop(ended_index(running))
            searcher.tell(ended, tried, None if ended % 5 == 2 else [score(tried)])
    return suggested, running


def ended_index(running):
    """Trials do not end in the order in which they began."""
    return len(running) // 2


@pytest.mark.parametrize(
    ("name", "delay"),
    [
        pytest.param(name, delay, marks=[] if (name, delay) in QUICK else pytest.mark.slow)
        for name in ALGORITHMS
        for delay in (0, 3)
    ],
)
def test_a_resumed_sweep_suggests_what_an_uninterrupted_one_does(name, delay):
    spec = spec_of(ALGORITHMS[name])
    count, cuts = (7, (5,)) if name == "gp" else (11, (1, 6, 10))
    whole, _ = run(Searcher(spec), 0, count, delay)
    for cut in cuts:
        before, running = run(Searcher(spec), 0, cut, delay)
        assert before == whole[:cut]
        resumed = Searcher(parse_search(spec.to_dict()))
        unended = {number for number, _ in running}
        for number, values in enumerate(before):
            resumed.add_running(number, values)
            if number not in unended:
                resumed.tell(number, values, None if number % 5 == 2 else [score(values)])
        after, _ = run(resumed, cut, count, delay, running)
        assert after == whole[cut:]


@pytest.mark.parametrize("name", ["NSGAIISampler", "QMCSampler", "cmaes"])
def test_conditional_keys_are_suggested_and_resumed(name):
    space = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
        "optimizer.momentum": {"uniform": [0.5, 0.99], "when": {"optimizer.name": "sgd"}},
    }
    spec = spec_of(ALGORITHMS[name], space)
    first, suggested = Searcher(spec), []
    for number in range(14):
        resumed = Searcher(spec)
        for earlier, values in enumerate(suggested):
            resumed.tell(earlier, values, [values["optimizer.learning_rate"]])
        suggested.append(first.suggest(number))
        assert resumed.suggest(number) == suggested[-1]
        first.tell(number, suggested[-1], [suggested[-1]["optimizer.learning_rate"]])
    assert {"optimizer.momentum" in values for values in suggested} == {True, False}


@pytest.mark.parametrize("name", ["tpe", "cmaes", "RandomSampler"])
def test_a_suggestion_that_breaks_a_constraint_is_followed_by_another(name):
    spec = spec_of(ALGORITHMS[name])
    suggester = OptunaSuggester(spec, spec.tune.search_alg)
    refused = []

    def is_allowed(values):
        refused.append(values)
        return len(refused) == 4

    observations = [Observation(suggester.suggest([], 0), "complete", [0.5])]
    values = suggester.suggest(observations, 1, is_allowed)
    assert len({str(values) for values in refused}) == 4
    assert values == refused[-1]
    assert suggester.suggest(observations, 1, lambda values: False) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "cmaes", "NSGAIISampler"])
def test_algorithms_that_learn_beat_chance(name):
    def scores_of(algorithm, trials):
        searcher = Searcher(spec_of(algorithm, seed=3))
        scores = []
        for number in range(trials):
            values = searcher.suggest(number)
            scores.append(score(values))
            searcher.tell(number, values, scores[-1:])
        return scores

    learnt, by_chance = scores_of(ALGORITHMS[name], 40)[-10:], scores_of("random", 40)
    assert sum(learnt) / len(learnt) > sum(by_chance) / len(by_chance) + 0.2


def test_sobol_points_leave_no_gaps():
    searcher = Searcher(spec_of("qmc"))
    rates = [searcher.suggest(number)["optimizer.learning_rate"] for number in range(32)]
    shares = sorted((math.log10(rate) + 3) / 3 for rate in rates)
    assert all(index / 32 <= share <= (index + 1) / 32 for index, share in enumerate(shares))


def test_bohb_models_the_longest_trials_there_are_enough_of():
    settings = {"name": "bohb", "min_points_in_model": 4, "random_fraction": 0}
    searchers = [Searcher(spec_of(settings, scheduler="asha")) for _ in range(2)]
    for number in range(8):
        values = Searcher(spec_of("random")).suggest(number)
        for searcher in searchers:
            searcher.add_running(number, values)
            searcher.report(number, 1, score(values))
    first, second = searchers
    assert first.suggest(8) == second.suggest(8)
    for number in range(4):  # the later epoch reverses the ranking of these four
        second.report(number, 3, -score(Searcher(spec_of("random")).suggest(number)) + 10)
    assert first.suggest(9) != second.suggest(9)


@pytest.mark.slow
def test_bohb_draws_its_share_of_trials_at_random():
    """The drawn trials are those that random search would try."""
    settings = {"name": "bohb", "min_points_in_model": 4, "random_fraction": 0.5}
    searcher, by_chance = (
        Searcher(spec_of(algorithm, scheduler="asha")) for algorithm in (settings, "random")
    )
    for number in range(40):
        searcher.suggest(number)
        searcher.report(number, 1, number)
    are_random = [searcher.suggest(n) == by_chance.suggest(n) for n in range(40, 80)]
    assert 10 <= sum(are_random) <= 30


def test_points_to_evaluate_come_first_and_their_other_keys_are_drawn():
    points = [{"optimizer.momentum": 0.9}, {"optimizer.momentum": 0.8, "training.batch_size": 32}]
    searcher = Searcher(spec_of("tpe", points_to_evaluate=points))
    first, second, third = (searcher.suggest(number) for number in range(3))
    assert first["optimizer.momentum"] == 0.9
    assert points[1].items() <= second.items()
    assert third["optimizer.momentum"] not in (0.8, 0.9)
    assert set(first) == set(second) == set(SPACE)
    assert Searcher(spec_of("tpe", points_to_evaluate=points)).suggest(1) == second


@pytest.mark.parametrize("algorithm", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_with_several_metrics_values_are_suggested(algorithm):
    """One metric improves with the learning rate, the other gets worse."""
    spec = spec_of(ALGORITHMS[algorithm], pareto={"train_loss": "min"})
    searcher = Searcher(spec)
    for number in range(6):
        values = searcher.suggest(number)
        rate = values["optimizer.learning_rate"]
        searcher.tell(number, values, [rate, rate])
    assert searcher.suggest(6)


@pytest.mark.parametrize(
    "name",
    [
        "tpe",
        "cmaes",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("tpe, multivariate", "gp", "NSGAIISampler")
        ),
    ],
)
def test_studies_that_are_kept_change_no_suggestion(name):
    """Concurrent trials: each is added while it runs, and ended later."""
    spec = spec_of(ALGORITHMS[name])
    kept, observations = OptunaSuggester(spec, spec.tune.search_alg), []
    for number in range(6 if name == "gp" else 12):
        values = kept.suggest(observations, number)
        rebuilt = OptunaSuggester(spec, spec.tune.search_alg)
        assert values == rebuilt.suggest(observations, number)
        observations.append(Observation(values, "running"))
        if number >= 2:
            ended = observations[number - 2].values
            status, scores = ("failed", ()) if number % 5 == 0 else ("complete", [score(ended)])
            observations[number - 2] = Observation(ended, status, scores)
