"""The confusion matrix of a trial."""

from __future__ import annotations

import numpy as np

from sweeps.report import class_data
from sweeps.terminal.tables import shorten
from sweeps.ui.figures.base import Figure, build_layout, escape_text, pack_array
from trainable.artifacts.class_metrics import MATRIX

MARGIN_HEIGHT = 130
SCALE = [[0.0, "rgba(79,124,214,0)"], [1.0, "rgba(79,124,214,1)"]]


def matrix_figure(split: class_data.SplitClasses) -> Figure | None:
    """Draws a confusion matrix: the share of every class, with numbers of images.

    Returns:
        The figure; None if the matrix has not been kept.
    """
    rows: list[list[int]] = split.metrics.get(MATRIX) or []
    if not rows:
        return None
    counts = np.array(rows, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [escape_text(split.label(index)) for index in range(len(rows))]
    positions = list(range(len(rows)))
    is_small = len(rows) <= class_data.MAX_NUMBERS
    ticks = [
        escape_text(shorten(split.label(index), class_data.MAX_TICK, "...")) for index in positions
    ]
    axis = {"tickvals": positions, "ticktext": ticks} if is_small else {}
    heatmap = {
        "type": "heatmap",
        "z": pack_array(shares),
        "x": positions,
        "y": positions,
        "text": [[str(count or "") for count in row] for row in rows],
        "customdata": [[f"{actual} as {predicted}" for predicted in labels] for actual in labels],
        "hovertemplate": "%{customdata}: %{text} images, %{z:.1%}<extra></extra>",
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        **({"texttemplate": "%{text}"} if is_small else {}),
    }
    layout = build_layout(
        "classified as",
        "class",
        f"matrix {split.name}",
        xaxis={**axis, "showgrid": False},
        yaxis={**axis, "showgrid": False, "autorange": "reversed"},
    )
    layout["height"] = min(
        MARGIN_HEIGHT + class_data.PIXELS_PER_CLASS * len(rows), class_data.MAX_HEIGHT
    )
    return {"data": [heatmap], "layout": layout}
