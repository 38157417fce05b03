"""Weighted choices, and distributions among the values of a choice."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.space.distributions import Choice, Distribution, sample
from sweeps.space.mixture import Mixture
from sweeps.space.parameters import to_json
from sweeps.space.parsing import parse_parameter

ZERO_OR_LOG = {"choice": [0, {"loguniform": [1e-6, 1e-2]}]}
WEIGHTED = {"choice": [None, {"uniform": [0.1, 0.3]}, 0.5, {"randint": [2, 5]}],
            "weights": [1, 4, 2, 3]}  # fmt: skip


def parse(raw: dict[str, Any]) -> Distribution:
    distribution = parse_parameter(raw)
    assert isinstance(distribution, Distribution)
    return distribution


def test_zero_or_a_logarithmic_range() -> None:
    rng, distribution = np.random.default_rng(0), parse(ZERO_OR_LOG)
    draws = [sample(distribution, rng) for _ in range(2000)]
    assert {type(value) for value in draws} == {float}
    others = np.log10([value for value in draws if value])
    assert 900 < len(others) < 1100
    assert np.histogram(others, bins=[-6, -4, -2])[0].min() > 400


@pytest.mark.parametrize(
    "raw",
    [{"choice": ["a", "b", "c"], "weights": [3, 1, 4]}, {"values": [1, 2], "weights": [3, 1]}],
)
def test_values_are_drawn_in_proportion_to_their_weights(raw: dict[str, Any]) -> None:
    rng, distribution = np.random.default_rng(0), parse(raw)
    counts = Counter(sample(distribution, rng) for _ in range(4000))
    assert isinstance(distribution, Choice)
    shares = [counts[value] / 4000 for value in distribution.values]
    assert shares == pytest.approx(np.array(raw["weights"]) / sum(raw["weights"]), abs=0.03)


def test_options_of_a_mixture_are_drawn_in_proportion_to_their_weights() -> None:
    rng, distribution = np.random.default_rng(0), parse(WEIGHTED)
    assert isinstance(distribution, Mixture)
    counts = Counter(distribution.branch(sample(distribution, rng)) for _ in range(4000))
    shares = [counts[position] / 4000 for position in range(4)]
    assert shares == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.03)


@pytest.mark.parametrize(
    "raw",
    [ZERO_OR_LOG, WEIGHTED, {"choice": [1, 2, 3], "weights": [1, 1e-3, 5]},
     {"choice": [{"min": 1, "max": 3}, {"qnormal": [9, 1, 0.5]}]}],
)  # fmt: skip
@given(unit=st.floats(0, 1))
def test_a_value_belongs_to_its_share(raw: dict[str, Any], unit: float) -> None:
    distribution = parse(raw)
    value = distribution.from_unit(unit)
    assert distribution.can_draw(value)
    again = distribution.from_unit(distribution.to_unit(value))
    if isinstance(value, float):
        assert again == pytest.approx(value, rel=1e-6)
    else:
        assert to_json(again) == to_json(value)


@pytest.mark.parametrize("raw", [ZERO_OR_LOG, WEIGHTED, {"choice": [1, 2], "weights": [1, 2]}])
def test_a_file_reads_what_was_written(raw: dict[str, Any]) -> None:
    distribution = parse({**raw, "when": {"model.name": "cnv"}})
    assert parse(distribution.to_dict()) == distribution


def test_the_values_to_check_are_the_plain_ones_and_both_ends_of_the_distributions() -> None:
    assert parse(WEIGHTED).extremes == (None, 0.1, 0.3, 0.5, 2, 4)


@pytest.mark.parametrize(
    ("given", "value"), [(0, "0.0"), (0.0, "0.0"), (1e-3, "0.001"), (1e-6 - 1e-20, "1e-06")]
)
def test_a_given_value_has_the_type_of_drawn_ones(given: float, value: str) -> None:
    assert parse(ZERO_OR_LOG).can_draw(given)
    assert to_json(parse(ZERO_OR_LOG).convert(given)) == value


@pytest.mark.parametrize("given", [1.0, -1, None, "0", False, 1e-7])
def test_other_values_cannot_be_drawn(given: Any) -> None:
    assert not parse(ZERO_OR_LOG).can_draw(given)


def test_a_mapping_of_a_sections_keys_stays_a_value() -> None:
    choice = parse({"choice": [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}]})
    assert isinstance(choice, Choice)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"grid": [0, {"uniform": [1, 2]}]},
         'grid must be plain values, found {"uniform": [1, 2]}'),
        ({"choice": [0, {"choice": [1, 2]}]},
         "choice can have ranges and normal distributions among its values, found "
         '{"choice": [1, 2]}'),
        ({"choice": [0, {"expr": "a.b"}]},
         "choice can have ranges and normal distributions among its values, found "
         '{"expr": "a.b"}'),
        ({"choice": [0, {"uniform": [1, 2], "when": {"a": 1}}]},
         "choice can have ranges and normal distributions among its values, found "
         '{"uniform": [1, 2], "when": {"a": 1}}'),
        ({"choice": [0, {"loguniform": [0, 1]}]},
         "loguniform must have its low end > 0, found 0.0"),
        ({"choice": [1, 2], "weights": [1]},
         "weights must have one number for each value (2), found 1"),
        ({"choice": [1, 2], "weights": [1, 0]},
         "weights must be > 0, found 0; leave such a value out"),
        ({"choice": [1, 2], "weights": "3:1"}, 'weights must be a list of numbers, found "3:1"'),
        ({"grid": [1, 2], "weights": [1, 2]}, "weights belongs to choice, found it beside grid"),
        ({"uniform": [1, 2], "weights": [1, 2]},
         "weights belongs to choice, found it beside uniform"),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]},
         'probabilities unknown key; did you mean "weights"? (known: weights, when)'),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_parameter(raw)
    assert str(error.value) == message
