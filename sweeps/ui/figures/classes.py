"""The confusion matrix of a trial."""

from __future__ import annotations

import numpy as np

from sweeps.report.class_data import ConfusionMatrix
from sweeps.ui.figures.base import Figure, build_layout, escape_text, pack_array

PIXELS_PER_CLASS, MARGIN_HEIGHT, MAX_HEIGHT = 34, 130, 900
"""Height of a row of a matrix, of what is above and below the rows, and the largest of both."""
SCALE = [[0.0, "rgba(79,124,214,0)"], [1.0, "rgba(79,124,214,1)"]]


def matrix_figure(matrix: ConfusionMatrix, split: str) -> Figure:
    """Draws a confusion matrix: the share of every class, with numbers of images.

    Args:
        matrix: The matrix.
        split: `val` or `test`.
    """
    labels = range(len(matrix.counts))
    ticks = [escape_text(name) for name in matrix.short_names]
    axis = {"tickvals": list(labels), "ticktext": ticks} if matrix.has_numbers else {}
    numbers = {
        "text": [[str(count or "") for count in row] for row in matrix.counts],
        "texttemplate": "%{text}",
    }
    heatmap = {
        "type": "heatmap",
        "z": pack_array(np.array(matrix.shares)),
        "x": list(labels),
        "y": list(labels),
        "customdata": [[escape_text(matrix.describe(y, p)) for p in labels] for y in labels],
        "hovertemplate": "%{customdata}<extra></extra>",
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        **(numbers if matrix.has_numbers else {}),
    }
    layout = build_layout(
        "classified as",
        "class",
        f"matrix {split}",
        xaxis={**axis, "showgrid": False},
        yaxis={**axis, "showgrid": False, "autorange": "reversed"},
    )
    layout["height"] = min(MARGIN_HEIGHT + PIXELS_PER_CLASS * len(labels), MAX_HEIGHT)
    return {"data": [heatmap], "layout": layout}
