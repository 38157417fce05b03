"""The sampler through us proposes what bare Optuna proposes with the same seed."""

import math

import numpy as np
import optuna
import pytest

from sweeps.search.optuna_samplers import Past, propose
from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search

SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "optimizer.momentum": {"uniform": [0.5, 0.99]},
    "training.batch_size": {"choice": [32, 64, 128]},
    "training.epochs": {"randint": [5, 10]},
    "scheduler.warmup_epochs": {"qrandint": [0, 4, 2]},
}
DRIVERS = {
    "tpe": {"name": "tpe", "n_startup_trials": 4},
    "tpe, multivariate": {"name": "tpe", "n_startup_trials": 4, "multivariate": True},
    "gp": {"name": "gp", "n_startup_trials": 4},
    "cmaes": {"name": "cmaes", "n_startup_trials": 4},
}


def spec_of(algorithm, **tune):
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tune = {"num_samples": 40, "seed": 7, "search_alg": algorithm, **tune}
    return parse_search({"config": config, "space": SPACE, "tune": tune})


def score(values):
    return -abs(math.log10(values["optimizer.learning_rate"]) + 1) - abs(
        values["optimizer.momentum"] - 0.9
    )


def bare_sampler(name, number):
    seed = int(np.random.SeedSequence([7, number, 0]).generate_state(1)[0])
    quiet = {"warn_independent_sampling": False}
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=4, **quiet)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=7, n_startup_trials=4, **quiet)
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


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_same_suggestions_as_bare_optuna_with_the_same_seed(name):
    """One study of Optuna's own, asked and told in turn; for a proposal its sampler is seeded."""
    searcher = Searcher(spec_of(DRIVERS[name]))
    study = optuna.create_study(direction="maximize", sampler=bare_sampler(name, 0))
    for number in range(7 if name == "gp" else 16):
        if name == "cmaes":  # its generations have one seed, what it leaves to chance another
            chance = bare_sampler("tpe", number)._random_sampler
            study.sampler._independent_sampler = chance
        else:
            study.sampler = bare_sampler(name, number)
        ours, trial = searcher.suggest(number), study.ask()
        assert ours == suggest(trial), number
        searcher.tell(number, ours, [score(ours)])
        study.tell(trial, score(ours))


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_those_that_learn_beat_chance(name):
    def found(algorithm, trials):
        searcher = Searcher(spec_of(algorithm, seed=3))
        scores = []
        for number in range(trials):
            values = searcher.suggest(number)
            scores.append(score(values))
            searcher.tell(number, values, scores[-1:])
        return scores

    learnt, by_chance = found(DRIVERS[name], 30)[-10:], found("random", 40)
    assert sum(learnt) / len(learnt) > sum(by_chance) / len(by_chance) + 0.2


def test_a_searcher_of_another_process_told_the_same_goes_on_the_same():
    """Some trials have not ended when the first process does."""
    spec = spec_of(DRIVERS["cmaes"])
    first, second = Searcher(spec), Searcher(parse_search(spec.to_dict()))
    for number in range(6):
        values = first.suggest(number)
        second.restore(number, values)
        if number % 3 != 1:
            first.tell(number, values, [score(values)])
            second.tell(number, values, [score(values)])
    found = [searcher.suggest(6) for searcher in (first, second)]
    assert found[0] == found[1]
    assert set(found[0]) == set(SPACE)
    assert all(spec.space[key].can_draw(value) for key, value in found[0].items())


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
            searcher.restore(number, values)
            searcher.report(number, 1, score(values))
    first, second = searchers
    assert first.suggest(8) == second.suggest(8)
    for number in range(4):  # the later epoch turns the ranking of these four around
        second.report(number, 3, -score(Searcher(spec_of("random")).suggest(number)) + 10)
    assert first.suggest(9) != second.suggest(9)


def test_bohb_draws_its_share_of_trials_at_random():
    """Those are the ones that random search would try."""
    settings = {"name": "bohb", "min_points_in_model": 4, "random_fraction": 0.5}
    searcher, by_chance = (
        Searcher(spec_of(found, scheduler="asha")) for found in (settings, "random")
    )
    for number in range(40):
        searcher.suggest(number)
        searcher.report(number, 1, number)
    drawn = [searcher.suggest(n) == by_chance.suggest(n) for n in range(40, 80)]
    assert 10 <= sum(drawn) <= 30


def test_given_points_come_first_and_the_rest_of_them_is_drawn():
    points = [{"optimizer.momentum": 0.9}, {"optimizer.momentum": 0.8, "training.batch_size": 32}]
    searcher = Searcher(spec_of("tpe", points_to_evaluate=points))
    first, second, third = (searcher.suggest(number) for number in range(3))
    assert first["optimizer.momentum"] == 0.9
    assert points[1].items() <= second.items()
    assert third["optimizer.momentum"] not in (0.8, 0.9)
    assert set(first) == set(second) == set(SPACE)
    assert Searcher(spec_of("tpe", points_to_evaluate=points)).suggest(1) == second


@pytest.mark.parametrize("algorithm", ["tpe", "gp"])
def test_with_several_metrics_trials_spread_along_the_front(algorithm):
    """Learning rate wants to be large by one metric and small by the other."""
    spec = spec_of(DRIVERS[algorithm], pareto={"train_loss": "min"})
    searcher = Searcher(spec)
    for number in range(6):
        values = searcher.suggest(number)
        rate = values["optimizer.learning_rate"]
        searcher.tell(number, values, [rate, rate])
    assert searcher.suggest(6)


@pytest.mark.parametrize("name", ["tpe", "tpe, multivariate", "gp"])
def test_what_is_kept_of_the_trials_told_changes_no_proposal(name):
    """Trials run side by side: each is told while it runs and again when it has ended."""
    spec = spec_of(DRIVERS[name])
    kept, told = Past(spec.space), []
    for number in range(12):
        values = propose(spec, told, number, kept)
        assert values == propose(spec, told, number, Past(spec.space))
        told.append((values, "running", ()))
        if number >= 2:
            ended, _, _ = told[number - 2]
            failed = number % 5 == 0
            told[number - 2] = (
                ended,
                *(("failed", ()) if failed else ("complete", [score(ended)])),
            )
