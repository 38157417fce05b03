"""Drawing from a space, its conditions, its grid, and its check against the training config."""

import copy
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.distributions import sample
from sweeps.notation import parse_distribution
from sweeps.space import (
    MAX_POINTS,
    condition_problems,
    draw,
    draw_order,
    grid_part,
    grid_points,
    grid_size,
    random_draw,
)
from sweeps.space_check import config_problems, draw_problem

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 5},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}


def space_of(written):
    return {key: parse_distribution(value) for key, value in written.items()}


def first_draws(space, count, seed=0):
    cycle = list(grid_points(grid_part(space)))
    return [random_draw(space, cycle, seed, number) for number in range(count)]


CONDITIONAL = space_of(
    {
        "c": {"uniform": [0, 1], "when": {"b": 2}},
        "b": {"choice": [1, 2], "when": {"a": ["x", "y"]}},
        "a": {"choice": ["x", "y", "z"]},
        "d": {"randint": [0, 3]},
    }
)

# ---------------------------------------------------------------------------- drawing


def test_parents_are_drawn_before_children_and_else_the_order_is_the_files():
    assert draw_order(CONDITIONAL) == ["a", "b", "c", "d"]
    assert draw_order(space_of({"q": {"choice": [1]}, "p": {"choice": [1]}})) == ["q", "p"]


def test_a_hyperparameter_whose_condition_does_not_hold_is_absent_and_so_are_its_children():
    assert draw(CONDITIONAL, lambda key, found: found.corners[-1]) == {"a": "z", "d": 2}
    assert list(draw(CONDITIONAL, lambda key, found: found.corners[0])) == ["a", "b", "d"]


def test_pick_is_asked_for_active_keys_only():
    asked = []

    def pick(key, found):
        asked.append(key)
        return found.corners[-1]

    draw(CONDITIONAL, pick)
    assert asked == ["a", "d"]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_a_random_draw_depends_on_the_seed_and_its_number_alone(seed, number):
    once = random_draw(CONDITIONAL, [{}], seed, number)
    random_draw(CONDITIONAL, [{}], seed, number + 1)
    assert random_draw(CONDITIONAL, [{}], seed, number) == once
    assert ("b" in once) == (once["a"] != "z")
    assert ("c" in once) == (once.get("b") == 2)


def test_random_draws_differ_between_numbers_and_between_seeds():
    space = space_of({"a": {"uniform": [0, 1]}})
    values = [draws["a"] for seed in (0, 1) for draws in first_draws(space, 50, seed)]
    assert len(set(values)) == 100


def test_a_random_draw_is_that_of_numpys_generator_seeded_with_both_numbers():
    rng = np.random.default_rng([7, 3])
    space = space_of({"a": {"uniform": [0, 1]}, "b": {"choice": [1, 2, 3]}})
    expected = {key: sample(found, rng) for key, found in space.items()}
    assert random_draw(space, [{}], 7, 3) == expected


def test_an_empty_space_draws_nothing():
    assert random_draw({}, [{}], 0, 0) == {}
    assert list(grid_points({})) == [{}]


# ---------------------------------------------------------------------------- grid


def test_grid_points_are_the_cross_product_with_the_last_key_varying_fastest():
    space = space_of({"a": {"grid": [1, 2]}, "b": {"choice": ["x", "y"]}})
    pairs = [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert list(grid_points(space)) == [{"a": a, "b": b} for a, b in pairs]


def test_grid_points_respect_conditions_without_a_point_twice():
    space = space_of(
        {
            "lr": {"grid": [1, 2]},
            "momentum": {"grid": [0.8, 0.9], "when": {"name": "sgd"}},
            "name": {"grid": ["sgd", "adamw"]},
        }
    )
    points = list(grid_points(space))
    assert len(points) == grid_size(space) == 2 * (2 + 1)
    assert [p for p in points if p["name"] == "adamw"] == [
        {"lr": 1, "name": "adamw"},
        {"lr": 2, "name": "adamw"},
    ]


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(sizes, st.data())
def test_every_grid_point_is_one_that_a_draw_can_give_and_none_is_missing(lengths, data):
    written = {}
    for index, length in enumerate(lengths):
        written[f"k{index}"] = {"grid": list(range(length))}
        if index and data.draw(st.booleans()):
            parent = data.draw(st.integers(0, index - 1))
            allowed = data.draw(st.integers(0, lengths[parent] - 1))
            written[f"k{index}"]["when"] = {f"k{parent}": allowed}
    space = space_of(written)
    points = list(grid_points(space))
    possible = {
        tuple(sorted(draw(space, lambda key, found: dict(zip(space, chosen))[key]).items()))
        for chosen in product(*(found.values for found in space.values()))
    }
    assert len(points) == len(possible)
    assert {tuple(sorted(point.items())) for point in points} == possible


def test_the_size_of_a_grid_is_none_without_end_and_counted_no_further_than_needed():
    assert grid_size(CONDITIONAL) is None
    large = space_of({f"k{n}": {"grid": list(range(100))} for n in range(6)})
    assert grid_size(large) == MAX_POINTS + 1


def test_grid_keys_beside_others_are_taken_in_turn_by_trial_number():
    space = space_of(
        {"lr": {"uniform": [0, 1]}, "a": {"grid": [1, 2]}, "b": {"grid": ["x", "y", "z"]}}
    )
    found = [(values["a"], values["b"]) for values in first_draws(space, 8)]
    assert found == [
        (1, "x"),
        (1, "y"),
        (1, "z"),
        (2, "x"),
        (2, "y"),
        (2, "z"),
        (1, "x"),
        (1, "y"),
    ]
    assert len({values["lr"] for values in first_draws(space, 8)}) == 8


def test_a_grid_key_under_a_drawn_condition_takes_its_turn_when_it_is_active():
    space = space_of(
        {"name": {"choice": ["sgd", "adamw"]}, "m": {"grid": [1, 2], "when": {"name": "sgd"}}}
    )
    for number, values in enumerate(first_draws(space, 20)):
        assert values.get("m") == ([1, 2][number % 2] if values["name"] == "sgd" else None)


# ---------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        (
            {"a": {"uniform": [0, 1], "when": {"nam": 1}}, "name": {"choice": [1]}},
            [
                (
                    ("a", "when", "nam"),
                    'must be a key of the space; did you mean "name"? (known: a, name)',
                )
            ],
        ),
        (
            {"a": {"choice": [1], "when": {"b": 1}}, "b": {"randint": [0, 2]}},
            [(("a", "when", "b"), "must be a choice or a grid of the space, found randint")],
        ),
        (
            {"a": {"choice": [1], "when": {"b": ["x", "z"]}}, "b": {"grid": ["x", "y"]}},
            [(("a", "when", "b"), 'must be what b can be ("x", "y"), found "z"')],
        ),
        (
            {"a": {"choice": [1], "when": {"a": 1}}, "b": {"choice": [1], "when": {"a": 1}}},
            [(("a", "when"), "must not go round in a circle, found a -> a")],
        ),
        (
            {
                "z": {"choice": [1], "when": {"a": 1}},
                "a": {"choice": [1], "when": {"b": 1}},
                "b": {"choice": [1], "when": {"c": 1}},
                "c": {"choice": [1], "when": {"a": 1}},
            },
            [(("a", "when"), "must not go round in a circle, found a -> b -> c -> a")],
        ),
    ],
)
def test_conditions_that_cannot_be_evaluated_are_problems(written, problems):
    assert condition_problems(space_of(written)) == problems


def test_conditions_that_can_be_evaluated_are_none():
    assert condition_problems(CONDITIONAL) == []


# ---------------------------------------------------------------------------- against the config


def problems_of(written, config=CONFIG):
    before = copy.deepcopy(config)
    found = config_problems(space_of(written), config)
    assert config == before
    return [(".".join(map(str, path)), rule) for path, rule in found]


def test_a_space_that_fits_has_no_problems():
    assert not problems_of(
        {
            "optimizer.learning_rate": {"loguniform": [1e-3, 1]},
            "optimizer.name": {"choice": ["sgd", "adamw"]},
            "optimizer.momentum": {"uniform": [0.8, 0.99], "when": {"optimizer.name": "sgd"}},
            "optimizer.betas": {
                "choice": [[0.9, 0.999], [0.8, 0.99]],
                "when": {"optimizer.name": "adamw"},
            },
            "training.batch_size": {"choice": [32, 64]},
            "scheduler.warmup_epochs": {"randint": [0, 5]},
            "dataset.val_split": {"choice": [None, 0.1]},
            "model.name": {"choice": ["resnet20", "cnv"]},
            "seed.value": {"randint": [0, 100]},
        }
    )


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        (
            {"optimizer.learning_rat": {"uniform": [0, 1]}},
            [
                (
                    "optimizer.learning_rat",
                    'unknown key; did you mean "learning_rate"? '
                    "(known: learning_rate, momentum, name, nesterov, weight_decay)",
                )
            ],
        ),
        (
            {"optimizer.learning_rate": {"uniform": [-1, 1]}},
            [("optimizer.learning_rate", "must be > 0, found -1.0")],
        ),
        (
            {"optimizer.momentum": {"uniform": [0.5, 1]}},
            [("optimizer.momentum", "must be < 1, found 1.0")],
        ),
        (
            {"optimizer.momentum": {"normal": [0.9, 0.05]}},
            [("optimizer.momentum", "must be < 1, found 1.1")],
        ),
        (
            {"training.batch_size": {"quniform": [32, 128, 32]}},
            [("training.batch_size", "must be an integer, found 32.0 (number)")],
        ),
        (
            {"training.batch_size": {"choice": [32, 0, "64"]}},
            [
                ("training.batch_size", "must be > 0, found 0"),
                (
                    "training.batch_size",
                    'must be an integer, found "64" (text; remove the quotes)',
                ),
            ],
        ),
        (
            {"optimizer.name": {"choice": ["sgd", "sgdw"]}},
            [
                (
                    "optimizer.name",
                    'unknown name, found "sgdw"; did you mean "sgd"? (known: adam, adamw, sgd)',
                )
            ],
        ),
        (
            {"foo.bar": {"choice": [1]}},
            [
                (
                    "foo.bar",
                    "foo: unknown key (known: amp, checkpoint, dataset, loss, model, optimizer, "
                    "progress, scheduler, seed, tensorboard, training)",
                )
            ],
        ),
        (
            {"training.epochs.x": {"choice": [1]}},
            [("training.epochs.x", '"epochs" must be a mapping, found 5')],
        ),
        (
            {"optimizer.betas": {"choice": [[0.9, 1.5]]}, "optimizer.name": {"choice": ["adam"]}},
            [("optimizer.betas", "must be < 1, found 1.5")],
        ),
    ],
)
def test_what_the_config_refuses_is_a_problem_of_its_key(written, problems):
    assert problems_of(written) == problems


def test_a_key_of_some_optimizers_only_is_told_the_condition_it_lacks():
    names = {"choice": ["sgd", "adam", "adamw"]}
    assert problems_of(
        {"optimizer.name": names, "optimizer.momentum": {"uniform": [0.8, 0.9]}}
    ) == [
        (
            "optimizer.momentum",
            "is not a key of optimizer adam; add when: {optimizer.name: sgd}",
        ),
        (
            "optimizer.momentum",
            "is not a key of optimizer adamw; add when: {optimizer.name: sgd}",
        ),
    ]
    eps = {"loguniform": [1e-9, 1e-6], "when": {"optimizer.name": ["sgd", "adam"]}}
    assert problems_of({"optimizer.eps": eps, "optimizer.name": names}) == [
        (
            "optimizer.eps",
            "is not a key of optimizer sgd; add when: {optimizer.name: [adam, adamw]}",
        )
    ]


def test_a_key_that_the_configs_own_optimizer_lacks_says_where_it_belongs():
    assert problems_of({"optimizer.eps": {"loguniform": [1e-9, 1e-6]}}) == [
        ("optimizer.eps", "not a key of optimizer sgd; it belongs to adam, adamw")
    ]


def test_a_name_that_needs_a_key_which_nobody_gives_is_a_problem_of_the_name():
    written = {"scheduler.name": {"choice": ["cosine", "step"]}}
    assert problems_of(written) == [
        ("scheduler.name", 'with "step": scheduler.step_size: required key is missing')
    ]
    written["scheduler.step_size"] = {"randint": [1, 4], "when": {"scheduler.name": "step"}}
    assert problems_of(written) == []


def test_a_value_that_clashes_with_one_of_the_config_is_a_problem_of_its_key():
    config = {**CONFIG, "scheduler": {"warmup_epochs": 3}}
    assert problems_of({"training.epochs": {"choice": [5, 2]}}, config) == [
        (
            "training.epochs",
            "with 2: scheduler.warmup_epochs: must be below training.epochs (2), found 3",
        )
    ]


def test_values_that_clash_with_each_other_are_a_problem():
    written = {
        "training.epochs": {"choice": [2, 5]},
        "scheduler.warmup_epochs": {"randint": [0, 5]},
    }
    assert problems_of(written) == [
        ("scheduler.warmup_epochs", "must be below training.epochs (2), found 4")
    ]


@pytest.mark.parametrize(
    "key",
    [
        "checkpoint.save_frequency",
        "dataset.download",
        "dataset.num_workers",
        "dataset.root",
        "progress.enabled",
        "seed.enabled",
        "tensorboard.enabled",
    ],
)
def test_what_is_the_same_for_every_trial_must_not_be_swept(key):
    value = {"save_frequency": 1, "num_workers": 1, "root": "a"}.get(key.split(".")[1], True)
    assert problems_of({key: {"choice": [value]}}) == [
        (key, "must not be swept, it is the same for every trial; set it in config")
    ]


def test_a_space_names_built_in_models_only():
    assert problems_of({"model.name": {"choice": ["resnet20", "mine:build"]}}) == [
        ("model.name", 'must be built-in models in a space, found "mine:build"')
    ]


def test_conditions_that_exclude_each_other_are_a_problem():
    written = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "training.batch_size": {"choice": [32, 64], "when": {"optimizer.name": "adamw"}},
        "optimizer.momentum": {
            "uniform": [0, 0.9],
            "when": {"optimizer.name": "sgd", "training.batch_size": 32},
        },
    }
    assert problems_of(written) == [
        ("optimizer.momentum.when", "never holds: no trial has these values together")
    ]


def test_a_configs_own_problems_are_not_repeated_for_the_space():
    broken = {**CONFIG, "training": {"epochs": 0}, "optimizer": {"name": "sgd"}}
    written = {
        "optimizer.learning_rate": {"uniform": [0, 1]},
        "training.batch_size": {"choice": [1, 2]},
    }
    assert problems_of(written, broken) == [("optimizer.learning_rate", "must be > 0, found 0.0")]


def test_a_draw_whose_values_clash_is_found_although_each_can_be_drawn():
    written = {
        "training.accumulation_steps": {"choice": [1, 2, 4]},
        "training.batch_size": {"choice": [4, 6]},
    }
    assert problems_of(written) == []
    assert draw_problem(grid_points(space_of(written)), CONFIG) == (
        "some draws break the training config, e.g. {training.accumulation_steps: 4, "
        "training.batch_size: 6}: training.accumulation_steps: must divide training.batch_size "
        "(6), found 4"
    )
    assert draw_problem([{"training.batch_size": 6}], CONFIG) is None
