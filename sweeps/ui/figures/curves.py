"""Learning curves of many trials, coloured by the metric that ranks them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.ui.figures.base import (
    FAINT,
    PLAIN,
    TRIAL,
    Chart,
    Figure,
    Floats,
    MetricColours,
    axis_range,
    build_layout,
    escape_text,
    pack,
    pack_array,
    range_of,
    to_floats,
)
from trainable.artifacts.metrics import Row

MAX_CURVES = 100
"""Trials whose curves one figure shows."""
FIRST_METRICS = ("val_acc", "val_loss", "train_acc", "train_loss", "test_acc", "test_loss")
BEST_SO_FAR = "best_"
"""Beginning of the columns that follow from others."""


def list_metrics(sweep: LoadedSweep) -> list[str]:
    """Lists the metrics that curves can show; the one that ranks trials comes first."""
    names = {name for result in sweep.results for row in result.rows for name in numbers(row)}
    first = [name for name in (*sweep.metrics, *FIRST_METRICS) if name in names]
    return list(dict.fromkeys([*first, *sorted(names)])) or [sweep.metric]


def numbers(row: Row) -> list[str]:
    """Lists the columns of an epoch that are numbers."""
    return [
        name
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
        if name != "epoch" and not name.startswith(BEST_SO_FAR)
    ]


def best_value(result: TrialResult, metric: str) -> float:
    """Returns the metric at a trial's best epoch; NaN if it has none."""
    return math.nan if result.best is None else float(result.best[metric])


def choose_trials(ranked: Sequence[TrialResult], first: Collection[str]) -> list[TrialResult]:
    """Chooses the trials whose curves are drawn, best first.

    Args:
        ranked: All trials, best first.
        first: Ids of trials that are drawn in any case.

    Returns:
        At most `MAX_CURVES` trials with at least one epoch: besides `first` the best ones, up to a
        quarter that have not ended, and an even choice of the others.
    """
    drawable = [result for result in ranked if result.rows]
    if len(drawable) <= MAX_CURVES:
        return drawable
    live = [r for r in drawable if r.record.state in {"running", "paused"}]
    wanted = [r for r in drawable if r.record.id in first]
    parts = (wanted, drawable[: MAX_CURVES // 2], live[: MAX_CURVES // 4])
    chosen = {result.record.id for part in parts for result in part}
    rest = [result for result in drawable if result.record.id not in chosen]
    free = max(MAX_CURVES - len(chosen), 0)
    chosen |= {rest[len(rest) * index // free].record.id for index in range(free)}
    return [result for result in drawable if result.record.id in chosen][:MAX_CURVES]


def learning_curves(sweep: LoadedSweep, metric: str, selected: Collection[str] = ()) -> Chart:
    """Draws a metric by epoch, one line per trial, coloured by the metric that ranks trials.

    Args:
        sweep: The sweep.
        metric: The metric to draw, one of `list_metrics`.
        selected: Ids of trials that stand out; if empty, all do.
    """
    chosen = choose_trials(sweep.results, selected)
    if not chosen:
        return Chart("No trial has completed an epoch.")
    scores = [best_value(result, sweep.metric) for result in chosen]
    colours = MetricColours.of(scores, sweep.mode)
    curves = [to_floats([row.get(metric) for row in result.rows]) for result in chosen]
    span = axis_range(np.concatenate(curves))
    traces = [
        trial_line(
            result,
            curve,
            colours.colour(score),
            PLAIN if not selected or result.record.id in selected else FAINT,
        )
        for result, curve, score in zip(chosen, curves, scores, strict=True)
    ]
    if chosen[0].best is not None:
        traces[0]["line"]["width"] = 3
    low, high = span or [0.0, 1.0]
    rungs = [vertical_lines(sweep.rungs, low, high, "rung")] if sweep.rungs else []
    bar = colour_bar(colours, f"best {sweep.metric}")
    layout = build_layout("epoch", metric, f"{sweep.record.name} {metric}", yaxis=range_of(span))
    figure = {"data": [*rungs, *reversed(traces), bar], "layout": layout}
    note = _describe_curves(sweep, len(chosen))
    return Chart(f"{note} The selected trials stand out." if selected else note, figure)


def trial_line(result: TrialResult, curve: Floats, colour: str, opacity: float) -> Figure:
    """Returns the line of a trial with a value for each of its epochs."""
    label = escape_text(f"{result.record.id} ({result.record.state})")
    return {
        "type": "scatter",
        "mode": "lines" if len(curve) > 1 else "markers",
        "x": pack([row["epoch"] for row in result.rows]),
        "y": pack_array(curve),
        "line": {"color": colour, "width": 1.4},
        "marker": {"color": colour, "size": 5},
        "opacity": opacity,
        "name": result.record.id,
        "meta": TRIAL,
        "hovertemplate": f"{label}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def vertical_lines(epochs: Iterable[int], low: float, high: float, name: str) -> Figure:
    """Returns the trace of vertical lines; shapes would lose the user's zoom."""
    points = [(epoch, y) for epoch in epochs for y in (low, high, None)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "#8d99ae", "width": 1, "dash": "dot"},
        "name": name,
        "hovertemplate": f"{name} at epoch %{{x}}<extra></extra>",
    }


def colour_bar(colours: MetricColours, title: str) -> Figure:
    """Returns a trace without points that shows the colours of a metric."""
    marker = {**colours.axis(title), "color": [colours.low], "size": 0.1, "opacity": 0}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "marker": marker,
        "hoverinfo": "skip",
    }


def _describe_curves(sweep: LoadedSweep, count: int) -> str:
    drawable = sum(bool(result.rows) for result in sweep.results)
    shown = f"{count} of {drawable} trials with an epoch: the best, those that train, and a choice"
    parts = [
        f"{shown} of the others." if count < drawable else "",
        f"One line per trial, coloured by its best {sweep.metric}; the thick one is the best.",
        "Dotted lines are the scheduler's rungs." if sweep.rungs else "",
    ]
    return " ".join(filter(None, parts))
