"""A sampler that a search file names is checked before the sweep starts."""

import optuna
import pytest

from sweeps.search.sampler_check import check_sampler
from sweeps.search.sampler_classes import INSTEAD, list_sampler_classes
from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from trainable.errors import ConfigError

CUSTOM = "tests.support.samplers"


def spec_of(sampler, args=None, space=None, **tune):
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    search_alg = {"name": "optuna", "sampler": sampler, "args": args or {}}
    return parse_search(
        {
            "config": config,
            "space": space or {"optimizer.learning_rate": {"uniform": [0.001, 1]}},
            "tune": {"num_samples": 4, "seed": 1, "search_alg": search_alg, **tune},
        }
    )


def problem(sampler, args=None, *, allow_custom=False, **tune):
    with pytest.raises(ConfigError) as error:
        check_sampler(spec_of(sampler, args, **tune), allow_custom=allow_custom)
    (only,) = error.value.problems
    return f"{only.key}: {only.rule}"


@pytest.mark.parametrize("sampler", list_sampler_classes())
def test_every_sampler_of_optuna_is_offered_or_has_a_replacement(sampler):
    check_sampler(spec_of(sampler))
    assert {*list_sampler_classes(), *INSTEAD} == {
        name
        for name in optuna.samplers.__all__
        if name.endswith("Sampler") and not name.startswith("Base")
    }


@pytest.mark.parametrize("sampler", INSTEAD)
def test_a_sampler_that_is_not_offered_names_its_replacement(sampler):
    assert problem(sampler) == (
        f"tune.search_alg.sampler: {sampler} is not offered; {INSTEAD[sampler]}"
    )


def test_an_unknown_sampler_names_the_nearest():
    assert problem("NSGA2Sampler").startswith(
        'tune.search_alg.sampler: optuna.samplers has no sampler "NSGA2Sampler"; did you mean '
        '"NSGAIISampler"? (known: CmaEsSampler, GPSampler, '
    )


def test_an_unknown_argument_names_the_nearest():
    assert problem("NSGAIISampler", {"populaton_size": 8}).startswith(
        "tune.search_alg.args.populaton_size: NSGAIISampler has no such argument; did you mean "
        '"population_size"? (known: '
    )


def test_the_seed_is_that_of_the_sweep():
    assert problem("RandomSampler", {"seed": 3}) == (
        "tune.search_alg.args.seed: leave it out; the sampler gets tune.seed"
    )


def test_values_that_the_constructor_refuses_are_reported():
    assert problem("QMCSampler", {"qmc_type": "latin"}) == (
        "tune.search_alg.args: QMCSampler does not take them: The `qmc_type='latin'` is invalid. "
        "Choose either `halton` or `sobol`."
    )


def test_metrics_that_the_sampler_cannot_optimise_are_reported():
    assert problem("CmaEsSampler", pareto={"train_loss": "min"}) == (
        "tune.search_alg.sampler: CmaEsSampler cannot search this space: If the study is being "
        "used for multi-objective optimization, CmaEsSampler cannot be used."
    )


@pytest.mark.parametrize("sampler", ["NSGA-II", "a.b", ":Class", "module:", "a b:Class"])
def test_a_sampler_must_have_the_form_of_a_name(sampler):
    rule = "must be a class of optuna.samplers or module:Class for one of your own, found"
    with pytest.raises(ConfigError, match=f'{rule} "{sampler}"'):
        spec_of(sampler)


@pytest.mark.parametrize("sampler", ["RandomSampler", "QMCSampler"])
def test_a_sampler_that_does_not_learn_takes_no_warm_start(sampler):
    with pytest.raises(ConfigError, match=f"{sampler} learns from no earlier trials; use tpe"):
        spec_of(sampler, warm_start="earlier")


def test_a_custom_sampler_runs_only_on_request():
    assert problem(f"{CUSTOM}:MiddleSampler").startswith(
        f'tune.search_alg.sampler: "{CUSTOM}:MiddleSampler" is code of your own, which runs only '
        "on request: add --allow-custom-model on the command line"
    )


def test_a_custom_sampler_suggests_its_values():
    spec = spec_of(f"{CUSTOM}:MiddleSampler", {"shift": 0.25})
    check_sampler(spec, allow_custom=True)
    searcher = Searcher(spec, allow_custom_model=True)
    values = searcher.suggest(0)
    assert values["optimizer.learning_rate"] == pytest.approx(0.001 + 0.75 * 0.999)


@pytest.mark.parametrize(
    ("sampler", "args", "expected"),
    [
        (
            f"{CUSTOM}:MidleSampler",
            {},
            f'tune.search_alg.sampler: {CUSTOM} has no sampler class "MidleSampler"; did you mean '
            '"MiddleSampler"?',
        ),
        (
            "tests.support.samplrs:MiddleSampler",
            {},
            "tune.search_alg.sampler: cannot import tests.support.samplrs: No module named",
        ),
        (
            f"{CUSTOM}:MiddleSampler",
            {"shft": 1},
            f"tune.search_alg.args.shft: {CUSTOM}:MiddleSampler has no such argument; did you "
            'mean "shift"?',
        ),
        (
            f"{CUSTOM}:NeedySampler",
            {},
            f"tune.search_alg.args: {CUSTOM}:NeedySampler needs grid",
        ),
        (
            f"{CUSTOM}:NeedySampler",
            {"grid": 3},
            f"tune.search_alg.sampler: {CUSTOM}:NeedySampler cannot search this space: no grid",
        ),
    ],
)
def test_a_custom_sampler_that_cannot_be_used_is_reported(sampler, args, expected):
    assert problem(sampler, args, allow_custom=True).startswith(expected)


def test_other_algorithms_need_no_sampler():
    config = spec_of("RandomSampler").to_dict()
    config["tune"]["search_alg"] = "tpe"
    check_sampler(parse_search(config))
