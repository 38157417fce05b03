"""Parameters in the form of other tools are refused with the form that they have here."""

from typing import Any

import pytest

from sweeps.space.parsing import parse_parameter


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
            "distribution: log_uniform_values is written {loguniform: [1e-05, 0.1]} here",
        ),
        (
            {"distribution": "q_uniform", "min": 1, "max": 9, "q": 2},
            "distribution: q_uniform is written {quniform: [1, 9, 2]} here",
        ),
        (
            {"distribution": "normal", "mu": 0, "sigma": 1},
            "distribution: normal is written {normal: [0, 1]} here",
        ),
        (
            {"distribution": "constant", "value": 3},
            "distribution: constant is a constant, which belongs in config",
        ),
        (
            {"_type": "choice", "_value": [1, 2]},
            "_type: choice is written {choice: [1, 2]} here",
        ),
        (
            {"_type": "loguniform", "_value": [0.1, 1]},
            "_type: loguniform is written {loguniform: [0.1, 1]} here",
        ),
        (
            {"type": "log", "base": 10, "minval": -3, "maxval": -1},
            "type: log is written {loguniform: [0.001, 0.1]} here",
        ),
        (
            {"type": "categorical", "vals": ["a", "b"]},
            'type: categorical is written {choice: ["a", "b"]} here',
        ),
        ({"type": "int", "low": 1, "high": 4}, "type: int is written {randint: [1, 5]} here"),
        (
            {"space": "randint", "lower": 1, "upper": 4},
            "space: randint is written {randint: [1, 4]} here",
        ),
        ({"type": "float"}, "type: float is written {uniform: [low, high]} here"),
        (
            {"loguniform": [-5, -1]},
            "loguniform must have its low end > 0 (values, not exponents: [1e-05, 0.1]), "
            "found -5.0",
        ),
        (
            {"loguniform": [-5.5, -1]},
            "loguniform must have its low end > 0 (values, not exponents), found -5.5",
        ),
        ({"loguniform": [0, 1]}, "loguniform must have its low end > 0, found 0.0"),
        (
            {"min": -4, "max": 0, "log": True},
            "min must be > 0 with log: true (values, not exponents: [0.0001, 1.0]), found -4",
        ),
    ],
)
def test_the_refusal_shows_the_form_that_it_has_here(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_parameter(raw)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("kind", "ours"),
    [("log_uniform", "loguniform"), ("categorical", "choice"), ("int", "randint")],
)
def test_an_unknown_distribution_is_suggested_by_its_meaning(kind: str, ours: str) -> None:
    with pytest.raises(ValueError, match=f'{kind} unknown distribution; did you mean "{ours}"'):
        parse_parameter({kind: [1, 2]})
