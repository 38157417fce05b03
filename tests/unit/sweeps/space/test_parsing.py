"""Parsing of parameters: the forms that a search file may use, and every refusal."""

import math

import pytest

from sweeps.space.distributions import Normal, Range
from sweeps.space.parameters import to_json
from sweeps.space.parsing import ARGUMENTS, is_logarithmic, parse_parameter


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
def test_alternative_forms_are_parsed_to_the_same_distribution(written, meant):
    assert parse_parameter(written).to_dict() == meant


def test_numbers_of_float_kinds_become_floats_and_those_of_integer_kinds_stay():
    assert parse_parameter({"uniform": [0, 1]}) == Range(0.0, 1.0)
    assert to_json(parse_parameter({"uniform": [0, 1]}).to_dict()) == '{"uniform": [0.0, 1.0]}'
    assert to_json(parse_parameter({"randint": [0, 2]}).to_dict()) == '{"randint": [0, 2]}'
    assert parse_parameter({"qnormal": [0, 1, 2]}) == Normal(0.0, 1.0, step=2.0)


KINDS = (
    "choice, expr, grid, lognormal, lograndint, loguniform, normal, qlograndint, qloguniform, "
    "qnormal, qrandint, quniform, randint, uniform, zip"
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
        ({}, "must name one distribution, and at most when and weights beside it, found none"),
        (
            {"when": {"a.b": 1}},
            "must name one distribution, and at most when and weights beside it, found none",
        ),
        (
            {"uniform": [0, 1], "choice": [1]},
            "must name one distribution, and at most when and weights beside it, "
            "found uniform, choice",
        ),
        (
            {"loguniforms": [1, 2]},
            f'loguniforms unknown distribution; did you mean "loguniform"? (known: {KINDS})',
        ),
        (
            {"uniform": [0, 1], "wen": {"a.b": 1}},
            'wen unknown key; did you mean "when"? (known: weights, when)',
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
            {"choice": [{"a": [float("nan")]}]},
            "choice must be plain values (text, numbers, true, false, null, or lists and mappings "
            'of them), found {"a": [NaN]}',
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
def test_a_refusal_states_the_rule_and_the_value(written, rule):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        parse_parameter(written)
    assert str(caught.value) == rule


def test_a_condition_holds_only_for_the_listed_values_of_every_key():
    parameter = parse_parameter({"uniform": [0, 1], "when": {"a.b": [1, 2], "c.d": "x"}})
    assert parameter.is_active({"a.b": 2, "c.d": "x"})
    assert not parameter.is_active({"a.b": 3, "c.d": "x"})
    assert not parameter.is_active({"a.b": True, "c.d": "x"})
    assert not parameter.is_active({"a.b": 1})


def test_parameters_whose_logarithm_is_drawn_have_a_logarithmic_axis() -> None:
    assert [kind for kind in ARGUMENTS if is_logarithmic({kind: [1, 2], "when": {}})] == [
        *("loguniform", "qloguniform", "lograndint", "qlograndint", "lognormal")
    ]
    assert not is_logarithmic(0.1)
