"""Charts of characters."""

import math

from sweeps.report.text_charts import Series, chart


def rows(lines: list[str]) -> list[str]:
    """What is right of the axis."""
    return [line.partition("|")[2] for line in lines if "|" in line]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    lines = chart([Series("*", [(0, 0), (1, 1), (2, 2)])], width=30, height=3, x_label="epoch")
    drawn = rows(lines)
    assert [row.index("*") for row in drawn] == [18, 9, 0]
    assert lines[0].startswith("        2 |")
    assert lines[2].startswith("        0 |")
    assert lines[-1].split() == ["0", "epoch", "2"]


def test_a_later_series_covers_an_earlier_one() -> None:
    first, second = Series("a", [(0, 0), (1, 1)]), Series("b", [(1, 1)])
    drawn = "".join(rows(chart([first, second], width=30, height=3, x_label="x")))
    assert (drawn.count("a"), drawn.count("b")) == (1, 1)


def test_no_line_is_wider_than_asked() -> None:
    lines = chart([Series("*", [(0, 0.1), (1e6, 0.2)])], width=40, height=5, x_label="trial")
    assert max(map(len, lines)) <= 40


def test_one_point_is_drawn_and_no_point_is_no_chart() -> None:
    assert "*" in "".join(chart([Series("*", [(3, 0.5)])], width=30, height=3, x_label="x"))
    assert chart([Series("*", [])], width=30, height=3, x_label="x") == []


def test_what_is_not_finite_is_left_out() -> None:
    points = [(0, 0.0), (1, math.nan), (2, math.inf), (3, 1.0)]
    drawn = "".join(rows(chart([Series("*", points)], width=30, height=3, x_label="x")))
    assert drawn.count("*") == 2
