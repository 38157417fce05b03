"""Distributions: what each kind draws, and its inverse distribution function."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune

from sweeps.space.distributions import Choice, Range, sample
from sweeps.space.parameters import to_json
from sweeps.space.parsing import ARGUMENTS, parse_parameter

# ---------------------------------------------------------------------------- any distribution


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def ranges(draw: st.DrawFn) -> dict:
    kind = draw(st.sampled_from([kind for kind in ARGUMENTS if "uniform" in kind]))
    positive = "log" in kind
    low = draw(finite(1e-6, 1e3) if positive else finite(-1e3, 1e3))
    high = low + draw(finite(1e-3, 1e3))
    return {
        kind: [low, high, (high - low) / draw(st.integers(3, 50))][: 3 if kind[0] == "q" else 2]
    }


@st.composite
def integer_ranges(draw: st.DrawFn) -> dict:
    kind = draw(st.sampled_from([kind for kind in ARGUMENTS if "randint" in kind]))
    low = draw(st.integers(1 if "log" in kind else -1000, 1000))
    q = draw(st.integers(1, 50))
    high = low + draw(st.integers(2 * q, 1000))
    return {kind: [low, high, q][: 3 if kind[0] == "q" else 2]}


@st.composite
def normals(draw: st.DrawFn) -> dict:
    kind = draw(st.sampled_from([kind for kind in ARGUMENTS if "normal" in kind]))
    mean, sd = draw(finite(-5, 5)), draw(finite(1e-3, 5))
    return {kind: [mean, sd, draw(finite(1e-3, 10))][: 3 if kind[0] == "q" else 2]}


plain = st.none() | st.booleans() | st.integers(-9, 9) | finite(-9, 9) | st.text(max_size=3)
choices = st.tuples(
    st.sampled_from(["choice", "grid"]),
    st.lists(plain | st.lists(finite(0, 1), max_size=2), min_size=1, max_size=6, unique_by=repr),
).map(lambda pair: {pair[0]: pair[1]})

any_distribution = (ranges() | integer_ranges() | normals() | choices).map(parse_parameter)
seeds = st.integers(0, 2**32)


def is_multiple(value: float, q: float) -> bool:
    return math.isclose(value / q, round(value / q), rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=40, deadline=None)
@given(any_distribution, seeds)
def test_every_draw_lies_in_its_set_and_keeps_its_type(distribution, seed):
    value = sample(distribution, np.random.default_rng(seed))
    if isinstance(distribution, Choice):
        assert any(value is option for option in distribution.values)
        return
    first, last = distribution.extremes
    assert first <= value <= last
    assert type(value) is (int if distribution.kind.endswith("randint") else float)
    assert distribution.step is None or is_multiple(value, distribution.step)
    if isinstance(distribution, Range):
        is_open = distribution.kind in ("randint", "lograndint")
        assert distribution.low <= value <= distribution.high - is_open


@settings(max_examples=40, deadline=None)
@given(any_distribution, seeds)
def test_a_draw_repeats_under_its_seed(distribution, seed):
    first, second = (sample(distribution, np.random.default_rng(seed)) for _ in range(2))
    assert to_json(first) == to_json(second)


@settings(max_examples=40, deadline=None)
@given(
    any_distribution.filter(lambda d: not isinstance(d, Choice)), st.floats(0, 1), st.floats(0, 1)
)
def test_a_larger_share_never_gives_a_smaller_value(distribution, one, other):
    low, high = sorted([one, other])
    values = distribution.from_unit(low), distribution.from_unit(high)
    assert values[0] <= values[1] or math.isclose(*values, rel_tol=1e-12)


@settings(max_examples=40, deadline=None)
@given(any_distribution, st.floats(0, 1))
def test_to_unit_is_the_inverse_of_from_unit(distribution, unit):
    value = distribution.from_unit(unit)
    share = distribution.to_unit(value)
    assert 0 <= share <= 1
    again = distribution.from_unit(share)
    if isinstance(value, float) and not isinstance(distribution, Choice):
        assert math.isclose(again, value, rel_tol=1e-6, abs_tol=1e-6)
    else:
        assert to_json(again) == to_json(value)


@settings(max_examples=40, deadline=None)
@given(any_distribution)
def test_a_distribution_survives_being_written_and_parsed(distribution):
    written = json.loads(json.dumps(distribution.to_dict()))
    assert parse_parameter(written) == distribution
    assert to_json(parse_parameter(written).to_dict()) == to_json(distribution.to_dict())


# ---------------------------------------------------------------------------- one kind


def draws(raw: dict, count: int = 4000) -> np.ndarray:
    distribution = parse_parameter(raw)
    rng = np.random.default_rng(0)
    return np.array([sample(distribution, rng) for _ in range(count)])


@pytest.mark.parametrize(
    ("kind", "arguments", "tolerance"),
    [
        ("uniform", [-2.0, 3.0], 0.2),
        ("quniform", [0.0, 1.0, 0.25], 0.25),
        ("loguniform", [1e-4, 1.0], 0.4),
        ("randint", [-3, 4], 1),
        ("qrandint", [8, 40, 8], 8),
        ("lograndint", [1, 100], 0.25),
        ("qlograndint", [2, 64, 2], math.log(2)),
    ],
)
def test_ranges_are_distributed_as_in_tune(kind, arguments, tolerance):
    domain = getattr(tune, kind)(*arguments)
    theirs = np.array(domain.sample(size=4000, random_state=np.random.RandomState(0)))
    ours = draws({kind: arguments})
    assert ours.dtype == theirs.dtype
    assert "loguniform" in kind or kind == "uniform" or set(ours) == set(theirs)
    scale = np.log if "log" in kind else np.asarray
    quantiles = np.linspace(0.05, 0.95, 10)
    gaps = np.quantile(scale(ours), quantiles) - np.quantile(scale(theirs), quantiles)
    assert np.abs(gaps).max() <= tolerance
    assert scale(ours).mean() == pytest.approx(scale(theirs).mean(), abs=tolerance / 4)


def test_an_integer_range_without_q_excludes_its_upper_end():
    assert set(draws({"randint": [2, 5]})) == {2, 3, 4}
    assert set(draws({"lograndint": [2, 5]})) == {2, 3, 4}


@pytest.mark.parametrize("kind", ["qrandint", "quniform"])
def test_both_ends_of_a_range_with_q_are_drawn_as_often_as_the_other_values(kind):
    values, counts = np.unique(draws({kind: [32, 128, 32]}), return_counts=True)
    assert values.tolist() == [32, 64, 96, 128]
    assert counts.min() > 900
    assert counts.max() < 1100


def test_multiples_on_a_logarithmic_scale_are_the_rarer_the_larger_they_are_from_end_to_end():
    values, counts = np.unique(draws({"qloguniform": [0.5, 2.5, 0.5]}), return_counts=True)
    assert values.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]
    shares = np.log((values + 0.25) / (values - 0.25)) / np.log(2.75 / 0.25)
    assert counts / counts.sum() == pytest.approx(shares, abs=0.02)


def test_the_ends_of_a_logarithmic_range_are_the_written_ones():
    assert parse_parameter({"loguniform": [0.1, 0.7]}).extremes == (0.1, 0.7)


@pytest.mark.parametrize(
    ("kind", "arguments", "given", "nearest"),
    [
        ("uniform", [0.0, 1.0], 1 + 2e-16, 1.0),
        ("loguniform", [0.1, 1.0], 0.1 - 1e-17, 0.1),
        ("quniform", [0.1, 0.9, 0.1], 0.1 + 0.2, 0.3),
        ("uniform", [0, 2], 1, 1.0),
    ],
)
def test_a_given_value_becomes_one_that_can_be_drawn(kind, arguments, given, nearest):
    distribution = parse_parameter({kind: arguments})
    assert distribution.can_draw(given)
    assert to_json(distribution.convert(given)) == to_json(nearest)


@pytest.mark.parametrize(
    ("kind", "arguments", "given"),
    [
        ("uniform", [0.0, 1.0], 1 + 1e-9),
        ("uniform", [0.0, 1.0], -1e-13),
        ("loguniform", [0.1, 1.0], 0.1 - 1e-9),
        ("quniform", [0.1, 0.9, 0.1], 0.3000000001),
        ("qloguniform", [1.0, 9.0, 1.0], -1.0),
        ("qlograndint", [1, 9, 1], 0),
        ("randint", [1, 9], 9),
        ("uniform", [0.0, 1.0], True),
    ],
)
def test_a_value_outside_or_between_the_multiples_cannot_be_drawn(kind, arguments, given):
    assert not parse_parameter({kind: arguments}).can_draw(given)


def test_multiples_of_q_stay_inside_ends_that_are_not_multiples():
    assert set(draws({"qrandint": [5, 22, 10]})) == {10, 20}
    assert set(draws({"quniform": [0.1, 0.9, 0.4]})) == {0.4, 0.8}


def test_multiples_of_a_decimal_q_are_exact_decimals():
    assert set(draws({"quniform": [0.1, 0.3, 0.1]})) == {0.1, 0.2, 0.3}


def test_a_logarithmic_range_gives_each_decade_an_equal_share():
    counts, _ = np.histogram(np.log10(draws({"loguniform": [1e-3, 1.0]})), bins=[-3, -2, -1, 0])
    assert counts.min() > 1200


def test_normal_kinds_have_their_mean_and_standard_deviation():
    assert draws({"normal": [5, 2]}).mean() == pytest.approx(5, abs=0.1)
    assert draws({"normal": [5, 2]}).std() == pytest.approx(2, abs=0.1)
    assert np.log(draws({"lognormal": [-3, 0.5]})).mean() == pytest.approx(-3, abs=0.05)
    assert set(draws({"qnormal": [0, 1, 4]})) == {-4, 0, 4}


def test_normal_kinds_end_at_four_standard_deviations():
    assert parse_parameter({"normal": [10, 2]}).extremes == pytest.approx((2, 18))


def test_a_choice_keeps_the_types_of_its_values():
    choice = parse_parameter({"choice": [1, 1.0, True, "1", None, [1]]})
    assert [choice.index(value) for value in choice.values] == [0, 1, 2, 3, 4, 5]
    assert {to_json(choice.from_unit(unit)) for unit in np.linspace(0, 1, 50)} == {
        "1", "1.0", "true", '"1"', "null", "[1]",
    }  # fmt: skip
