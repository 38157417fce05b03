"""Curves of one trial in all its metrics, and of a few trials in one metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeps.results.trial_results import TrialResult
from sweeps.ui.figures.base import (
    COLOURS,
    Figure,
    Floats,
    axis_range,
    build_layout,
    escape_text,
    pack,
    pack_array,
    range_of,
    to_floats,
)
from sweeps.ui.figures.curves import numbers, vertical_lines
from trainable.artifacts.metrics import Row

LEGEND_ABOVE: Figure = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def metric_groups(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Returns title -> the metrics of a trial that belong on one chart."""
    names = list(dict.fromkeys(name for row in rows for name in numbers(row)))
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=_chart_order):
        groups.setdefault(_chart_title(name), []).append(name)
    return groups


def _chart_title(name: str) -> str:
    if name.endswith("loss"):
        return "loss"
    if name.startswith(("train_", "val_", "test_")):
        return "score"
    fixed = {
        "lr": "learning rate",
        "epoch_s": "seconds per epoch",
        "images_per_s": "images per second",
        "peak_memory_gib": "peak memory, GiB",
    }
    return fixed.get(name, name)


def _chart_order(name: str) -> tuple[int, str]:
    titles = ["score", "loss", "learning rate", "seconds per epoch", "images per second"]
    title = _chart_title(name)
    position = titles.index(title) if title in titles else len(titles)
    return position, name


def trial_curves(result: TrialResult) -> dict[str, Figure]:
    """Returns title -> figure for all metrics of a trial by epoch."""
    rows = result.rows
    epochs = pack([row["epoch"] for row in rows])
    copies = [step["epoch"] for step in result.record.lineage]
    figures = {}
    for title, names in metric_groups(rows).items():
        columns = [to_floats([row.get(name) for row in rows]) for name in names]
        span = axis_range(np.concatenate(columns))
        traces = [
            _named_line(name, epochs, column, COLOURS[index % len(COLOURS)])
            for index, (name, column) in enumerate(zip(names, columns, strict=True))
        ]
        if copies and span:
            traces.insert(0, vertical_lines(copies, span[0], span[1], "copied a trial"))
        layout = build_layout(
            "epoch",
            "",
            result.record.id,
            yaxis=range_of(span),
            showlegend=len(names) > 1,
            legend=LEGEND_ABOVE,
        )
        figures[title] = {"data": traces, "layout": layout}
    return figures


def _named_line(name: str, x: dict[str, str], y: Floats, colour: str) -> Figure:
    """Returns the line of a metric; epochs without a value are bridged, those with one marked."""
    label = escape_text(name)
    has_gaps = bool(np.isnan(y).any())
    return {
        "type": "scatter",
        "mode": "lines+markers" if has_gaps or len(y) < 2 else "lines",
        "connectgaps": True,
        "x": x,
        "y": pack_array(y),
        "line": {"color": colour, "width": 2},
        "name": label,
        "hovertemplate": f"{label}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def compared_curves(results: Sequence[TrialResult], metric: str) -> Figure:
    """Draws a metric by epoch of a few trials, each in a colour of its own."""
    columns = [to_floats([row.get(metric) for row in result.rows]) for result in results]
    traces = [
        _named_line(result.record.id, pack([r["epoch"] for r in result.rows]), column, colour)
        for result, column, colour in zip(results, columns, trial_colours(results), strict=True)
    ]
    span = axis_range(np.concatenate(columns)) if columns else None
    ids = " ".join(result.record.id for result in results)
    layout = build_layout(
        "epoch",
        metric,
        f"{ids} {metric}",
        yaxis=range_of(span),
        showlegend=True,
        legend=LEGEND_ABOVE,
    )
    return {"data": traces, "layout": layout}


def trial_colours(results: Sequence[TrialResult]) -> list[str]:
    """Returns the colour of each of a few trials."""
    return [COLOURS[index % len(COLOURS)] for index in range(len(results))]
