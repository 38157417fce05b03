"""Charts of characters, for a quick look in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LABEL = 9
"""Columns for the numbers at the left."""


@dataclass(frozen=True)
class Series:
    """Points that are drawn with one mark."""

    mark: str
    points: Sequence[tuple[float, float]]


def chart(series: Sequence[Series], *, width: int, height: int, x_label: str) -> list[str]:
    """Draws points over axes that both fit all of them; later series cover earlier ones.

    Args:
        series: Points that are not finite are left out.
        width: Columns in all.
        height: Lines of the plot itself; the axis takes two more.
        x_label: Written below the axis.

    Returns:
        Lines, none if there is no point.
    """
    drawn = [(one.mark, [p for p in one.points if all(map(math.isfinite, p))]) for one in series]
    points = [point for _, found in drawn for point in found]
    if not points:
        return []
    columns = max(width - LABEL - 2, 8)
    low_x, high_x = _ends([x for x, _ in points])
    low_y, high_y = _ends([y for _, y in points])
    cells = [[" "] * columns for _ in range(height)]
    for mark, found in drawn:
        for x, y in found:
            column = round((x - low_x) / (high_x - low_x) * (columns - 1))
            row = round((high_y - y) / (high_y - low_y) * (height - 1))
            cells[row][column] = mark
    lines = []
    for index, row_cells in enumerate(cells):
        share = index / max(height - 1, 1)
        labelled = index in {0, height // 2, height - 1}
        label = f"{high_y - share * (high_y - low_y):.4g}" if labelled else ""
        lines.append(f"{label:>{LABEL}} |" + "".join(row_cells).rstrip())
    left, right = f"{low_x:g}", f"{high_x:g}"
    middle = x_label.center(max(columns - len(left) - len(right), len(x_label) + 2))
    lines.append(" " * LABEL + " +" + "-" * columns)
    lines.append(" " * (LABEL + 2) + left + middle + right)
    return lines


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest value; a bit around a single one."""
    low, high = min(values), max(values)
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low, high
