"""Charts as SVG: where their points and ticks are."""

from __future__ import annotations

import math
import re

import pytest

from sweeps.notebook.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_chart


def draw(points: list[tuple[float, float]]) -> str:
    return draw_chart(points, points, x_title="trials <1>", y_title="y", title="a & b")


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 0.5)],
        [(1.0, 0.5), (2.0, 0.5)],
        [(1.0, 0.0), (2.0, 0.0)],
        [(1.0, -1e9), (1000.0, 1e9)],
        [(1.0, 1e-9), (2.0, 1e-8)],
        [(1.0, -1.7e308), (2.0, 1.7e308)],
        [(1.0, 1.7e308), (2.0, 1.7e308)],
        [(1.0, 0.0), (2.0, 5e-324)],
        [(1.0, 1.0), (2.0, 1.0 + 2**-52)],
        [(1.0, 1e17), (2.0, 1e17 + 16)],
    ],
)
def test_points_are_inside_the_plot(points: list[tuple[float, float]]) -> None:
    svg = draw(points)
    places = re.findall(r"M([-\d.]+) ([-\d.]+)h0", svg)
    assert len(places) == len(points)
    assert all(LEFT <= float(x) <= WIDTH - RIGHT for x, _ in places)
    assert all(TOP <= float(y) <= HEIGHT - BOTTOM for _, y in places)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_left_out(odd: float) -> None:
    assert draw([(1.0, odd), (2.0, 0.5), (3.0, odd)]) == draw([(2.0, 0.5)])
    assert draw([(1.0, odd)]) == ""


def test_larger_values_are_higher_and_ticks_are_round() -> None:
    svg = draw([(1.0, 0.61), (2.0, 0.68), (12.0, 0.97)])
    heights = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)h0", svg)]
    assert heights == sorted(heights, reverse=True)
    assert re.findall(r'text-anchor="end">([^<]*)<', svg) == ["0.6", "0.7", "0.8", "0.9"]
    assert "trials &lt;1&gt;" in svg
    assert "<title>a &amp; b</title>" in svg
