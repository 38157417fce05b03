"""`expr`, `zip`, `constraints` and mappings in a space, under every search algorithm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from trainable.errors import ConfigError

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 9, "batch_size": 64},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
SPACE = {
    "model.name": {"choice": ["resnet20", "resnet56", "cnv"]},
    "training.batch_size": {"zip": {"model.name": [128, 64, 32]}},
    "optimizer.learning_rate": {"choice": [0.001, 0.01, 0.1, 1.0]},
    "optimizer.weight_decay": {"expr": "0.01 * optimizer.learning_rate"},
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.momentum": {"choice": [0.8, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.nesterov": {"choice": [True, False], "when": {"optimizer.name": "sgd"}},
    "scheduler.warmup_epochs": {"expr": "training.epochs // 4"},
}
CONSTRAINTS = [
    "training.batch_size * optimizer.learning_rate < 64",
    "optimizer.momentum < 0.85 or optimizer.learning_rate <= 0.1",
    "not (model.name == 'cnv' and optimizer.name == 'adamw')",
]
ALGORITHMS = [
    "random",
    "grid",
    "qmc",
    {"name": "tpe", "n_startup_trials": 3},
    {"name": "tpe", "n_startup_trials": 3, "multivariate": True},
    {"name": "gp", "n_startup_trials": 9},
    {"name": "bohb", "min_points_in_model": 3},
    {"name": "cmaes", "n_startup_trials": 3},
]


def spec_of(space=None, *, constraints=(), **tune):
    tune = {"num_samples": 12, "seed": 1, **tune}
    if "bohb" in str(tune.get("search_alg")):
        tune["scheduler"] = "asha"
    data = {"config": CONFIG, "space": space or SPACE, "tune": tune}
    return parse_search({**data, "constraints": list(constraints)})


def problems(space=None, *, constraints=(), config=CONFIG, **tune):
    data = {"config": config, "space": space or SPACE, "constraints": list(constraints)}
    with pytest.raises(ConfigError) as error:
        parse_search({**data, "tune": {"num_samples": 12, "seed": 1, **tune}})
    return [f"{problem.key}: {problem.rule}" for problem in error.value.problems]


def suggestions(spec):
    searcher = Searcher(spec)
    draws = []
    for number in range(spec.tune.num_samples):
        values = searcher.suggest(number)
        if values is None:
            break
        draws.append(values)
        for epoch in range(1, 4):
            searcher.report(number, epoch, -abs(values["optimizer.learning_rate"] - 0.1) / epoch)
        searcher.tell(number, values, [-abs(values["optimizer.learning_rate"] - 0.1)])
    return draws


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_derived_values_and_constraints_hold_under_every_algorithm(algorithm):
    spec = spec_of(constraints=CONSTRAINTS, search_alg=algorithm)
    draws = suggestions(spec)
    assert len(draws) == 12
    for values in draws:
        batch = {"resnet20": 128, "resnet56": 64, "cnv": 32}[values["model.name"]]
        rate = values["optimizer.learning_rate"]
        assert values["training.batch_size"] == batch
        assert values["optimizer.weight_decay"] == 0.01 * rate
        assert values["scheduler.warmup_epochs"] == 2
        assert ("optimizer.momentum" in values) == (values["optimizer.name"] == "sgd")
        assert batch * rate < 64
        assert values.get("optimizer.momentum", 0) < 0.85 or rate <= 0.1
        assert values["model.name"] != "cnv" or values["optimizer.name"] != "adamw"
        config = spec.trial_config(values, 0)
        assert config.training.batch_size == batch


def test_the_size_of_a_grid_counts_the_points_that_satisfy_the_constraints():
    models, rates, optimizers = ["resnet20", "resnet56", "cnv"], 4, 5  # sgd with 2 x 2, adamw
    assert models
    unconstrained = spec_of(search_alg="grid", num_samples=None)
    assert unconstrained.tune.num_samples == 3 * rates * optimizers
    spec = spec_of(search_alg="grid", num_samples=None, constraints=CONSTRAINTS[2:])
    assert spec.tune.num_samples == 2 * rates * optimizers + rates * 4
    points = suggestions(spec)
    assert len({str(point) for point in points}) == len(points) == spec.tune.num_samples


def test_the_resolved_file_is_parsed_to_the_same_spec():
    spec = spec_of(constraints=CONSTRAINTS)
    again = parse_search(spec.to_dict())
    assert again.to_dict() == spec.to_dict()
    assert suggestions(again) == suggestions(spec)


def test_mappings_are_merged_into_their_section():
    space = {
        "optimizer": {
            "choice": [{"name": "sgd", "momentum": 0.8}, {"name": "adamw", "eps": 1e-7}]
        },
        "optimizer.learning_rate": {"choice": [0.3]},
    }
    spec = spec_of(space, constraints=["optimizer.name == 'adamw' or optimizer.momentum < 0.9"])
    names = set()
    for number, values in enumerate(suggestions(spec)):
        optimizer = spec.trial_config(values, number).to_dict()["optimizer"]
        names.add(optimizer["name"])
        assert optimizer["learning_rate"] == 0.3
        assert values["optimizer"].items() <= optimizer.items()
    assert names == {"sgd", "adamw"}


SGD, ADAM = {"name": "sgd", "learning_rate": 0.1}, {"name": "adam", "learning_rate": 0.001}


@pytest.mark.parametrize("algorithm", ["random", "qmc", "tpe", "gp", "cmaes", "grid"])
@pytest.mark.parametrize(
    "space",
    [
        # The key by itself wins over the one inside a mapping, in either order of the file.
        {"optimizer": {"choice": [SGD, ADAM]}, "optimizer.learning_rate": {"choice": [0.2, 0.8]}},
        {"optimizer.learning_rate": {"choice": [0.2, 0.8]}, "optimizer": {"choice": [SGD, ADAM]}},
        {
            "optimizer": {"choice": [SGD, ADAM]},
            "training.batch_size": {"choice": [32, 64]},
            "optimizer.learning_rate": {"choice": [0.2, 0.8], "when": {"training.batch_size": 32}},
        },
        # Neither mapping has the key: the trial has the config's, or its optimizer's default.
        {"optimizer": {"choice": [{"name": "adam"}, {"name": "sgd"}]}},
        {"optimizer.name": {"choice": ["adam", "sgd"]}},
    ],
)
def test_constraints_and_expressions_read_what_a_trial_is_trained_with(space, algorithm):
    space = {
        **space,
        "loss.label_smoothing": {"expr": "optimizer.learning_rate / 10"},
        "dataset.seed": {"choice": [1, 2, 3, 4]},
    }
    constraints = ["optimizer.learning_rate < 0.5", "optimizer.momentum * dataset.seed < 3"]
    spec = spec_of(space, constraints=constraints, search_alg=algorithm, num_samples=4)
    searcher = Searcher(spec)
    for number in range(4):
        values = searcher.suggest(number)
        searcher.tell(number, values, [number])
        config = spec.trial_config(values, number)
        optimizer = config.to_dict()["optimizer"]
        assert optimizer["learning_rate"] < 0.5
        assert config.loss.label_smoothing == optimizer["learning_rate"] / 10
        assert optimizer.get("momentum", 0) * config.dataset.seed < 3


@pytest.mark.parametrize(
    ("space", "constraints", "expected"),
    [
        (
            {"training.batch_size": {"expr": "optimizer.learning_rte * 2"}},
            [],
            "space.training.batch_size.expr: optimizer.learning_rte is not a key of the space or "
            "the training config",
        ),
        (
            {"training.batch_size": {"expr": "64 / 2 + 0 * training.epochs"}},
            [],
            "space.training.batch_size: must be an integer, found 32.0",
        ),
        (
            {"training.batch_size": {"zip": {"model.nme": [1, 2]}}, "model.name": {"choice": [1]}},
            [],
            'space.training.batch_size.zip.model.nme: must be a key of the space; did you mean "',
        ),
        (
            {
                "training.batch_size": {"zip": {"model.name": [64]}},
                "model.name": {"choice": ["cnv", "resnet20"]},
            },
            [],
            "space.training.batch_size.zip.model.name: must have a value for each of model.name "
            "(2), found 1",
        ),
        (
            {
                "optimizer.learning_rate": {"expr": "optimizer.weight_decay * 2"},
                "optimizer.weight_decay": {"expr": "optimizer.learning_rate * 2"},
            },
            [],
            "space.optimizer.learning_rate.expr: must not go round in a circle, found "
            "optimizer.learning_rate -> optimizer.weight_decay -> optimizer.learning_rate",
        ),
        (
            {"training.epochs": {"expr": "3 * training.batch_size"}},
            [],
            "space.training.epochs: must not be an expr",
        ),
        (
            {"optimizer.learning_rate": {"uniform": [0.1, 0.2]}},
            ["optimizer.learning_rate > 0.3"],
            "constraints[0]: leaves nothing to try: none of 1000 draws keeps it",
        ),
        (
            {"optimizer.learning_rate": {"uniform": [0.1, 0.2]}},
            ["optimizer.learning_rate > 0.1", "optimizer.lr < 3"],
            "constraints[1]: optimizer.lr is not a key",
        ),
        (
            {"optimizer.learning_rate": {"uniform": [0.1, 0.2]}},
            ["__import__('os').system('true')"],
            "constraints[0]: may have numbers",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_starts(space, constraints, expected):
    lines = problems(space, constraints=constraints)
    assert any(line.startswith(expected) for line in lines), lines


def test_pbt_refuses_to_change_a_key_that_others_depend_on():
    space = {
        "optimizer.learning_rate": {"uniform": [0.1, 0.2]},
        "optimizer.weight_decay": {"expr": "optimizer.learning_rate / 100"},
    }
    lines = problems(
        space, constraints=["optimizer.learning_rate < 0.19"], scheduler={"name": "pbt"}
    )
    assert any("pbt changes optimizer.learning_rate during training" in line for line in lines)
    assert any(line.startswith("constraints[0]: pbt changes") for line in lines)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    limit=st.floats(0.02, 0.9),
    algorithm=st.sampled_from(["random", "qmc"]),
)
def test_draws_repeat_under_their_seed_and_satisfy_their_constraint(seed, limit, algorithm):
    space = {
        "optimizer.learning_rate": {"uniform": [0.01, 1.0]},
        "optimizer.weight_decay": {"expr": "optimizer.learning_rate * 0.5"},
    }
    tune = {"seed": seed, "search_alg": algorithm, "num_samples": 4}
    spec = spec_of(space, constraints=[f"optimizer.learning_rate < {limit!r}"], **tune)
    once, again = suggestions(spec), suggestions(parse_search(spec.to_dict()))
    assert once == again
    for values in once:
        assert 0.01 <= values["optimizer.learning_rate"] < limit
        assert values["optimizer.weight_decay"] == values["optimizer.learning_rate"] * 0.5
