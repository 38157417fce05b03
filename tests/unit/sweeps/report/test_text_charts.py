"""Charts that are drawn with characters."""

import math

from sweeps.report.text_charts import Series, draw_chart


def rows(lines: list[str]) -> list[str]:
    """Returns the part of every line right of the axis."""
    return [line.partition("|")[2] for line in lines if "|" in line]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    lines = draw_chart(
        [Series("*", [(0, 0), (1, 1), (2, 2)])], width=30, height=3, x_label="epoch"
    )
    plot = rows(lines)
    assert [row.index("*") for row in plot] == [18, 9, 0]
    assert lines[0].startswith("        2 |")
    assert lines[2].startswith("        0 |")
    assert lines[-1].split() == ["0", "epoch", "2"]


def test_a_later_series_covers_an_earlier_one() -> None:
    first, second = Series("a", [(0, 0), (1, 1)]), Series("b", [(1, 1)])
    plot = "".join(rows(draw_chart([first, second], width=30, height=3, x_label="x")))
    assert (plot.count("a"), plot.count("b")) == (1, 1)


def test_no_line_exceeds_the_width() -> None:
    lines = draw_chart([Series("*", [(0, 0.1), (1e6, 0.2)])], width=40, height=5, x_label="trial")
    assert max(map(len, lines)) <= 40


def test_a_single_point_is_drawn_and_without_points_there_is_no_chart() -> None:
    assert "*" in "".join(draw_chart([Series("*", [(3, 0.5)])], width=30, height=3, x_label="x"))
    assert draw_chart([Series("*", [])], width=30, height=3, x_label="x") == []


def test_points_that_are_not_finite_are_left_out() -> None:
    points = [(0, 0.0), (1, math.nan), (2, math.inf), (3, 1.0)]
    plot = "".join(rows(draw_chart([Series("*", points)], width=30, height=3, x_label="x")))
    assert plot.count("*") == 2
