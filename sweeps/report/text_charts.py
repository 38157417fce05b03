"""Draws charts with characters for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LABEL_WIDTH = 9
"""Columns of the numbers on the left."""


@dataclass(frozen=True)
class Series:
    """Points that are drawn with the same character."""

    mark: str
    points: Sequence[tuple[float, float]]


def draw_chart(series: Sequence[Series], *, width: int, height: int, x_label: str) -> list[str]:
    """Draws points on axes that fit all of them; later series cover earlier ones.

    Args:
        series: The points; those that are not finite are left out.
        width: Columns of the whole chart.
        height: Lines of the plot; the axis adds two.
        x_label: The label below the axis.

    Returns:
        The chart's lines; none if there are no points.
    """
    finite = [
        (item.mark, [p for p in item.points if all(map(math.isfinite, p))]) for item in series
    ]
    points = [point for _, marked in finite for point in marked]
    if not points:
        return []
    columns = max(width - LABEL_WIDTH - 2, 8)
    low_x, high_x = _axis_limits([x for x, _ in points])
    low_y, high_y = _axis_limits([y for _, y in points])
    cells = [[" "] * columns for _ in range(height)]
    for mark, marked in finite:
        for x, y in marked:
            column = round((x - low_x) / (high_x - low_x) * (columns - 1))
            row = round((high_y - y) / (high_y - low_y) * (height - 1))
            cells[row][column] = mark
    lines = []
    for index, row_cells in enumerate(cells):
        share = index / max(height - 1, 1)
        labelled = index in {0, height // 2, height - 1}
        label = f"{high_y - share * (high_y - low_y):.4g}" if labelled else ""
        lines.append(f"{label:>{LABEL_WIDTH}} |" + "".join(row_cells).rstrip())
    left, right = f"{low_x:g}", f"{high_x:g}"
    middle = x_label.center(max(columns - len(left) - len(right), len(x_label) + 2))
    lines.append(" " * LABEL_WIDTH + " +" + "-" * columns)
    lines.append(" " * (LABEL_WIDTH + 2) + left + middle + right)
    return lines


def _axis_limits(values: Sequence[float]) -> tuple[float, float]:
    """Returns (lowest, highest) value; a range around it if there is only one."""
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high
