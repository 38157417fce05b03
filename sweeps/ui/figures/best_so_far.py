"""The best metric so far, by trials or by time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.ui.figures.base import (
    BEST_COLOUR,
    COLOURS,
    TRIAL,
    Chart,
    Figure,
    axis_range,
    build_layout,
    escape_text,
    pack,
    parse_time,
    range_of,
    to_floats,
)
from sweeps.ui.figures.curves import best_value

ORDERS = {"trials": "trials in order of their ends", "hours": "hours since the sweep's start"}
"""Order of the points -> title of the axis."""


def best_so_far(sweep: LoadedSweep, order: str) -> Chart:
    """Draws each trial's metric at its best epoch, and the best one so far.

    Args:
        sweep: The sweep.
        order: One of `ORDERS`.
    """
    scored = [result for result in sweep.results if result.best is not None]
    if not scored:
        return Chart(f"{sweep.missing_best.capitalize()}.")
    moments = {result.record.id: _moment(result) for result in scored}
    scored.sort(key=lambda result: (moments[result.record.id], result.record.number))
    if order == "hours":
        start = parse_time(sweep.record.started)
        start = min(moments.values()) if start is None else start
        x = [(moments[result.record.id] - start) / 3600 for result in scored]
        scored, x = _finite(scored, x)
    else:
        x = [float(position) for position in range(1, len(scored) + 1)]
    y = [best_value(result, sweep.metric) for result in scored]
    span = axis_range(to_floats(y))
    layout = build_layout(
        ORDERS[order], sweep.metric, f"{sweep.record.name} {order}", yaxis=range_of(span)
    )
    line = _best_line(x, y, sweep.mode)
    note = (
        f"A point is a trial with {sweep.metric} at its best epoch; the line is the best so far."
    )
    return Chart(note, {"data": [_points(scored, x, y), line], "layout": layout})


def _finite(
    results: Sequence[TrialResult], x: Sequence[float]
) -> tuple[list[TrialResult], list[float]]:
    pairs = [(result, value) for result, value in zip(results, x, strict=True)]
    kept = [(result, value) for result, value in pairs if math.isfinite(value)]
    return [result for result, _ in kept], [value for _, value in kept]


def _moment(result: TrialResult) -> float:
    """Returns when a trial ended; of one that trains, when its last epoch ended."""
    record = result.record
    ended = parse_time(record.ended)
    if ended is not None:
        return ended
    started = parse_time(record.started or record.created)
    if started is None:
        return math.inf
    return started + sum(float(row.get("epoch_s") or 0.0) for row in result.rows)


def _points(results: Sequence[TrialResult], x: Sequence[float], y: Sequence[float]) -> Figure:
    states = [escape_text(f"{r.record.id} ({r.record.state})") for r in results]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": pack(x),
        "y": pack(y),
        "text": states,
        "customdata": [result.record.id for result in results],
        "marker": {"color": COLOURS[0], "size": 6, "opacity": 0.6},
        "name": "trial",
        "meta": TRIAL,
        "hovertemplate": "%{text}<br>%{y:.4g}<extra></extra>",
    }


def _best_line(x: Sequence[float], y: Sequence[float], mode: str) -> Figure:
    keep = np.fmax if mode == "max" else np.fmin
    best = keep.accumulate(np.array(y, dtype=float))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": pack(x),
        "y": pack(best.tolist()),
        "line": {"color": BEST_COLOUR, "width": 2.5, "shape": "hv"},
        "name": "best so far",
        "hovertemplate": "best so far: %{y:.4g}<extra></extra>",
    }
