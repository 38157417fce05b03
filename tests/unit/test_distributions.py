"""Every kind of distribution: how it is written, what it draws, and what is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune

from sweeps.distributions import Choice, Normal, Range, sample, shown
from sweeps.notation import ARGUMENTS, parse_distribution

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
def whole_ranges(draw: st.DrawFn) -> dict:
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

any_distribution = (ranges() | whole_ranges() | normals() | choices).map(parse_distribution)
seeds = st.integers(0, 2**32)


def multiple_of(value: float, q: float) -> bool:
    return math.isclose(value / q, round(value / q), rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=300, deadline=None)
@given(any_distribution, seeds)
def test_every_draw_lies_in_its_set_and_keeps_its_type(distribution, seed):
    value = sample(distribution, np.random.default_rng(seed))
    if isinstance(distribution, Choice):
        assert any(value is known for known in distribution.values)
        return
    first, last = distribution.corners
    assert first <= value <= last
    assert type(value) is (int if "randint" in distribution.kind else float)
    assert distribution.q is None or multiple_of(value, distribution.q)
    if isinstance(distribution, Range):
        is_open = distribution.kind in ("randint", "lograndint")
        assert distribution.low <= value <= distribution.high - is_open


@settings(max_examples=100, deadline=None)
@given(any_distribution, seeds)
def test_a_draw_repeats_under_its_seed(distribution, seed):
    first, second = (sample(distribution, np.random.default_rng(seed)) for _ in range(2))
    assert shown(first) == shown(second)


@settings(max_examples=100, deadline=None)
@given(
    any_distribution.filter(lambda d: not isinstance(d, Choice)), st.floats(0, 1), st.floats(0, 1)
)
def test_a_larger_share_never_gives_a_smaller_value(distribution, one, other):
    low, high = sorted([one, other])
    values = distribution.from_unit(low), distribution.from_unit(high)
    assert values[0] <= values[1] or math.isclose(*values, rel_tol=1e-12)


@settings(max_examples=200, deadline=None)
@given(any_distribution, st.floats(0, 1))
def test_a_value_turned_into_a_share_and_back_is_the_same_value(distribution, unit):
    value = distribution.from_unit(unit)
    share = distribution.to_unit(value)
    assert 0 <= share <= 1
    again = distribution.from_unit(share)
    if isinstance(value, float) and not isinstance(distribution, Choice):
        assert math.isclose(again, value, rel_tol=1e-6, abs_tol=1e-6)
    else:
        assert shown(again) == shown(value)


@settings(max_examples=200, deadline=None)
@given(any_distribution)
def test_a_distribution_written_down_is_read_back_as_it_was(distribution):
    written = json.loads(json.dumps(distribution.to_dict()))
    assert parse_distribution(written) == distribution
    assert shown(parse_distribution(written).to_dict()) == shown(distribution.to_dict())


# ---------------------------------------------------------------------------- what is drawn


def draws(raw: dict, count: int = 4000) -> np.ndarray:
    distribution = parse_distribution(raw)
    rng = np.random.default_rng(0)
    return np.array([sample(distribution, rng) for _ in range(count)])


@pytest.mark.parametrize(
    ("kind", "arguments", "tolerance"),
    [
        ("uniform", [-2.0, 3.0], 0.2),
        ("quniform", [0.0, 1.0, 0.25], 0.25),
        ("loguniform", [1e-4, 1.0], 0.4),
        ("qloguniform", [0.5, 8.0, 0.5], math.log(2)),
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


def test_a_whole_range_without_q_leaves_its_upper_end_out():
    assert set(draws({"randint": [2, 5]})) == {2, 3, 4}
    assert set(draws({"lograndint": [2, 5]})) == {2, 3, 4}


def test_a_whole_range_with_q_includes_its_upper_end_with_an_equal_share():
    values, counts = np.unique(draws({"qrandint": [32, 128, 32]}), return_counts=True)
    assert values.tolist() == [32, 64, 96, 128]
    assert counts.min() > 900


def test_multiples_of_q_stay_inside_ends_that_are_no_multiples():
    assert set(draws({"qrandint": [5, 22, 10]})) == {10, 20}
    assert set(draws({"quniform": [0.1, 0.9, 0.4]})) == {0.4, 0.8}


def test_multiples_of_a_decimal_q_are_the_decimals_one_would_write():
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
    assert parse_distribution({"normal": [10, 2]}).corners == pytest.approx((2, 18))


def test_a_choice_of_values_of_different_types_returns_each_as_it_is():
    found = parse_distribution({"choice": [1, 1.0, True, "1", None, [1]]})
    assert [found.index(value) for value in found.values] == [0, 1, 2, 3, 4, 5]
    assert {shown(found.from_unit(unit)) for unit in np.linspace(0, 1, 50)} == {
        "1", "1.0", "true", '"1"', "null", "[1]",
    }  # fmt: skip


# ---------------------------------------------------------------------------- how it is written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"values": [32, 64]}, {"choice": [32, 64]}),
        ({"min": 0.1, "max": 1}, {"uniform": [0.1, 1.0]}),
        ({"min": 1, "max": 9.5}, {"uniform": [1.0, 9.5]}),
        ({"min": 1e-3, "max": 1, "log": True}, {"loguniform": [1e-3, 1.0]}),
        ({"min": 1, "max": 9, "log": False}, {"randint": [1, 10]}),
        ({"min": 1, "max": 9, "log": True}, {"lograndint": [1, 10]}),
        (
            {"uniform": [0, 1], "when": {"optimizer.name": "sgd"}},
            {"uniform": [0.0, 1.0], "when": {"optimizer.name": ["sgd"]}},
        ),
        ({"choice": [1], "when": {"a.b": [1, None]}}, {"choice": [1], "when": {"a.b": [1, None]}}),
        ({"choice": [1], "when": {}}, {"choice": [1]}),
    ],
)
def test_other_ways_to_write_a_distribution(written, meant):
    assert parse_distribution(written).to_dict() == meant


def test_numbers_of_a_float_kind_become_floats_and_those_of_a_whole_kind_stay():
    assert parse_distribution({"uniform": [0, 1]}) == Range("uniform", 0.0, 1.0)
    assert shown(parse_distribution({"uniform": [0, 1]}).to_dict()) == '{"uniform": [0.0, 1.0]}'
    assert shown(parse_distribution({"randint": [0, 2]}).to_dict()) == '{"randint": [0, 2]}'
    assert parse_distribution({"qnormal": [0, 1, 2]}) == Normal("qnormal", 0.0, 1.0, 2.0)


KINDS = (
    "choice, grid, lognormal, lograndint, loguniform, normal, qlograndint, qloguniform, "
    "qnormal, qrandint, quniform, randint, uniform"
)
TWO_READINGS = "a bare list can be read in two ways: write {choice: %s} to try these values, or "
NOT_A_DISTRIBUTION = (
    "must be a distribution such as {choice: [1, 2]}; a constant belongs in config, found "
)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (
            [0.1, 1],
            TWO_READINGS % "[0.1, 1]" + "{uniform: [0.1, 1]} for the range between them",
        ),
        ([32, 64, 128], TWO_READINGS % "[32, 64, 128]" + "{uniform: [low, high]} for a range"),
        (["a", "b"], TWO_READINGS % '["a", "b"]' + "{uniform: [low, high]} for a range"),
        (0.1, NOT_A_DISTRIBUTION + "0.1"),
        ("sgd", NOT_A_DISTRIBUTION + '"sgd"'),
        (None, NOT_A_DISTRIBUTION + "null"),
        ({"value": 3}, 'value is a constant, which belongs in config, found {"value": 3}'),
        ({}, "must name one distribution, and at most when beside it, found none"),
        (
            {"when": {"a.b": 1}},
            "must name one distribution, and at most when beside it, found none",
        ),
        (
            {"uniform": [0, 1], "choice": [1]},
            "must name one distribution, and at most when beside it, found uniform, choice",
        ),
        (
            {"loguniforms": [1, 2]},
            f'loguniforms unknown distribution; did you mean "loguniform"? (known: {KINDS})',
        ),
        (
            {"uniform": [0, 1], "wen": {"a.b": 1}},
            'wen unknown key; did you mean "when"? (known: when)',
        ),
        (
            {"learning_rate": {"uniform": [0, 1]}},
            "learning_rate must be part of one dotted key, not a mapping in a mapping",
        ),
        ({"uniform": 3}, "uniform must be [low, high], found 3"),
        ({"uniform": [0, 1, 2]}, "uniform must be [low, high], found [0, 1, 2]"),
        ({"quniform": [0, 1]}, "quniform must be [low, high, q], found [0, 1]"),
        ({"normal": [0]}, "normal must be [mean, sd], found [0]"),
        ({"uniform": [0, "1"]}, 'uniform must be finite numbers, found "1"'),
        ({"uniform": [0, True]}, "uniform must be finite numbers, found true"),
        ({"uniform": [0, math.inf]}, "uniform must be finite numbers, found Infinity"),
        ({"uniform": [0, math.nan]}, "uniform must be finite numbers, found NaN"),
        ({"randint": [0, 1.5]}, "randint must be whole numbers, found 1.5"),
        ({"qrandint": [0, 4, 0.5]}, "qrandint must be whole numbers, found 0.5"),
        (
            {"uniform": [1, 1]},
            "uniform must have its low end below its high end, found [1.0, 1.0]",
        ),
        ({"randint": [5, 2]}, "randint must have its low end below its high end, found [5, 2]"),
        ({"loguniform": [0, 1]}, "loguniform must have its low end > 0, found 0.0"),
        ({"lograndint": [-1, 1]}, "lograndint must have its low end > 0, found -1"),
        ({"quniform": [0, 1, 0]}, "quniform must have q > 0, found 0.0"),
        ({"qrandint": [0, 9, -2]}, "qrandint must have q > 0, found -2"),
        (
            {"qrandint": [1, 7, 8]},
            "qrandint must hold two multiples of q or more, found [1, 7, 8]",
        ),
        (
            {"quniform": [0.1, 0.6, 0.5]},
            "quniform must hold two multiples of q or more, found [0.1, 0.6, 0.5]",
        ),
        ({"normal": [0, 0]}, "normal must have sd > 0, found 0.0"),
        ({"qnormal": [0, 1, 0]}, "qnormal must have q > 0, found 0.0"),
        (
            {"lognormal": [700, 10]},
            "lognormal must stay finite up to four standard deviations, found [700.0, 10.0]",
        ),
        ({"choice": []}, "choice must be a list of values, found []"),
        ({"values": "ab"}, 'values must be a list of values, found "ab"'),
        (
            {"choice": [{"a": 1}]},
            "choice must be plain values (text, numbers, true, false, null or lists of them), "
            'found {"a": 1}',
        ),
        ({"grid": [1, 2, 1]}, "grid must have each value once, found 1 twice"),
        ({"min": 1}, "must have min and max, and at most log beside them, found min"),
        (
            {"min": 1, "max": 2, "q": 1},
            "must have min and max, and at most log beside them, found min, max, q",
        ),
        ({"min": 1, "max": 2, "log": 1}, "log must be true or false, found 1"),
        ({"min": "1", "max": 2}, 'min must be a finite number, found "1"'),
        ({"min": 2, "max": 2}, "min must be below max (2), found 2"),
        ({"min": 0, "max": 2, "log": True}, "min must be > 0 with log: true, found 0"),
        (
            {"uniform": [0, 1], "when": "optimizer.name"},
            'when must be a mapping of keys to values, found "optimizer.name"',
        ),
        (
            {"uniform": [0, 1], "when": {"optimizer.name": []}},
            "when.optimizer.name must be a value or a list of values, found []",
        ),
    ],
)
def test_what_is_refused_says_the_rule_and_what_was_found(written, rule):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        parse_distribution(written)
    assert str(caught.value) == rule


def test_a_condition_holds_for_the_listed_values_of_every_key_and_no_others():
    found = parse_distribution({"uniform": [0, 1], "when": {"a.b": [1, 2], "c.d": "x"}})
    assert found.is_active({"a.b": 2, "c.d": "x"})
    assert not found.is_active({"a.b": 3, "c.d": "x"})
    assert not found.is_active({"a.b": True, "c.d": "x"})
    assert not found.is_active({"a.b": 1})
