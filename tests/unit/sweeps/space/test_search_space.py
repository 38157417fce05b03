"""Drawing from a space, its grid, and its conditions."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.space.distributions import sample
from sweeps.space.parsing import parse_parameter
from sweeps.space.search_space import (
    MAX_GRID_POINTS,
    draw,
    draw_order,
    grid_part,
    grid_points,
    grid_size,
    random_draw,
)
from sweeps.spec.validation.parameters import check_parameters


def space_of(written):
    return {key: parse_parameter(value) for key, value in written.items()}


def first_draws(space, count, seed=0):
    cycle = list(grid_points(grid_part(space)))
    return [random_draw(space, (), cycle, seed, number) for number in range(count)]


CONDITIONAL = space_of(
    {
        "c": {"uniform": [0, 1], "when": {"b": 2}},
        "b": {"choice": [1, 2], "when": {"a": ["x", "y"]}},
        "a": {"choice": ["x", "y", "z"]},
        "d": {"randint": [0, 3]},
    }
)

# ---------------------------------------------------------------------------- drawing


def test_parents_are_drawn_before_children_otherwise_in_the_order_of_the_file():
    assert draw_order(CONDITIONAL) == ["a", "b", "c", "d"]
    assert draw_order(space_of({"q": {"choice": [1]}, "p": {"choice": [1]}})) == ["q", "p"]


def test_a_hyperparameter_whose_condition_does_not_hold_is_absent_and_so_are_its_children():
    assert draw(CONDITIONAL, lambda key, distribution: distribution.extremes[-1]) == {
        "a": "z",
        "d": 2,
    }
    assert list(draw(CONDITIONAL, lambda key, distribution: distribution.extremes[0])) == [
        "a",
        "b",
        "d",
    ]


def test_pick_is_called_for_active_keys_only():
    keys = []

    def pick(key, distribution):
        keys.append(key)
        return distribution.extremes[-1]

    draw(CONDITIONAL, pick)
    assert keys == ["a", "d"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_a_random_draw_depends_only_on_the_seed_and_its_number(seed, number):
    once = random_draw(CONDITIONAL, (), [{}], seed, number)
    random_draw(CONDITIONAL, (), [{}], seed, number + 1)
    assert random_draw(CONDITIONAL, (), [{}], seed, number) == once
    assert ("b" in once) == (once["a"] != "z")
    assert ("c" in once) == (once.get("b") == 2)


def test_random_draws_differ_between_numbers_and_between_seeds():
    space = space_of({"a": {"uniform": [0, 1]}})
    values = [draws["a"] for seed in (0, 1) for draws in first_draws(space, 50, seed)]
    assert len(set(values)) == 100


def test_a_random_draw_uses_numpys_generator_seeded_with_both_numbers():
    rng = np.random.default_rng([7, 3])
    space = space_of({"a": {"uniform": [0, 1]}, "b": {"choice": [1, 2, 3]}})
    expected = {key: sample(distribution, rng) for key, distribution in space.items()}
    assert random_draw(space, (), [{}], 7, 3) == expected


def test_an_empty_space_draws_nothing():
    assert random_draw({}, (), [{}], 0, 0) == {}
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
def test_the_grid_points_are_exactly_the_possible_draws(lengths, data):
    written = {}
    for index, length in enumerate(lengths):
        written[f"k{index}"] = {"grid": list(range(length))}
        if index and data.draw(st.booleans()):
            parent = data.draw(st.integers(0, index - 1))
            allowed = data.draw(st.integers(0, lengths[parent] - 1))
            written[f"k{index}"]["when"] = {f"k{parent}": allowed}
    space = space_of(written)
    points = list(grid_points(space))
    possible = set()
    for chosen in product(*(choice.values for choice in space.values())):
        chosen_values = dict(zip(space, chosen, strict=True))
        values = draw(space, lambda key, _, chosen=chosen_values: chosen[key])
        possible.add(tuple(sorted(values.items())))
    assert len(points) == len(possible)
    assert {tuple(sorted(point.items())) for point in points} == possible


def test_grid_size_is_none_for_an_infinite_space_and_stops_counting_at_the_limit():
    assert grid_size(CONDITIONAL) is None
    large = space_of({f"k{n}": {"grid": list(range(100))} for n in range(6)})
    assert grid_size(large) == MAX_GRID_POINTS + 1


def test_grid_keys_beside_others_are_taken_in_turn_by_trial_number():
    space = space_of(
        {"lr": {"uniform": [0, 1]}, "a": {"grid": [1, 2]}, "b": {"grid": ["x", "y", "z"]}}
    )
    pairs = [(values["a"], values["b"]) for values in first_draws(space, 8)]
    assert pairs == [
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
            [(("a", "when", "b"), 'must be a value of b ("x", "y"), found "z"')],
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
def test_conditions_that_cannot_be_evaluated_are_violations(written, problems):
    assert check_parameters(space_of(written)) == problems


def test_conditions_that_can_be_evaluated_are_no_violations():
    assert check_parameters(CONDITIONAL) == []
