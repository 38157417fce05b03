"""Shared parts of all figures: packed numbers, ranges of axes, colours of a metric."""

import math

import numpy as np
import pytest

from sweeps.ui.figures.base import (
    BEST_COLOUR,
    METRIC_SCALE,
    UNSCORED_COLOUR,
    MetricColours,
    axis_range,
    escape_text,
    pack,
    pack_array,
    parse_time,
    to_floats,
)
from tests.support.figure_data import unpack


def test_what_is_no_finite_number_becomes_a_gap() -> None:
    values = [1, 2.5, None, math.nan, math.inf, 1e300, 10**400, "text", [1], True]
    assert unpack(pack(values)) == [1, 2.5, *[None] * 7, 1]
    assert unpack(pack([])) == []
    assert pack_array(np.zeros((2, 3)))["shape"] == "2, 3"


def test_a_few_outliers_do_not_set_the_range() -> None:
    assert axis_range(to_floats([])) is None
    assert axis_range(to_floats([None])) is None
    assert axis_range(to_floats([0.0, 1.0])) == pytest.approx([-0.05, 1.05])
    low, high = axis_range(to_floats([2.0, 2.0])) or (0, 0)
    assert low < 2 < high  # a constant curve is not drawn on its own frame
    losses = to_floats([*np.linspace(0.1, 2.3, 200), 1e12])
    low, high = axis_range(losses) or (0, 0)
    assert low < 0.2
    assert 2 < high < 4


@pytest.mark.parametrize(("mode", "best", "worst"), [("max", 0.9, 0.1), ("min", 0.1, 0.9)])
def test_the_best_value_has_the_last_colour(mode: str, best: float, worst: float) -> None:
    colours = MetricColours.of([0.1, 0.5, 0.9, math.nan], mode)
    assert colours.colour(best) == BEST_COLOUR
    assert colours.colour(worst) == METRIC_SCALE[0][1]
    assert colours.colour(math.nan) == UNSCORED_COLOUR
    assert MetricColours.of([0.5], mode).colour(0.5) == BEST_COLOUR
    assert MetricColours.of([], mode).colour(math.nan) == UNSCORED_COLOUR


def test_the_worst_tenth_shares_a_colour() -> None:
    losses = [*np.linspace(0.1, 1.0, 18), 1e9, 1e12]
    colours = MetricColours.of(losses, "min")
    assert colours.high == 1.0
    assert colours.axis("loss")["cmax"] == 1.0
    assert colours.colour(1e12) == colours.colour(1.0) == METRIC_SCALE[0][1]


def test_text_is_no_markup() -> None:
    assert escape_text("<b>&\x1b[31m\n") == "&lt;b&gt;&amp;\\n"


def test_a_time_that_is_none_is_none() -> None:
    assert parse_time("1970-01-01T00:01:00+00:00") == 60
    assert parse_time("now") is None
    assert parse_time(None) is None
