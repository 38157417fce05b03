"""Charts that Optuna does not have: learning curves with rungs, and stopped trials by epoch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

import plotly.graph_objects as go

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from trainable.artifacts.metrics import is_scored

MAX_TRIALS = 200
"""Trials that a chart draws one by one at most, so that the report stays small. The size of a
contour chart grows with the square of the number."""
T = TypeVar("T")
STATE_COLOURS = {
    "finished": "#1f77b4",
    "stopped": "#ff9f40",
    "failed": "#d62728",
    "running": "#2ca02c",
    "paused": "#7f7f7f",
    "pending": "#c7c7c7",
}


@dataclass(frozen=True)
class Chart:
    """A chart, or the reason why it is missing."""

    title: str
    note: str
    figure: go.Figure | None = None
    missing: str = ""


def subsample(ranked: list[T]) -> list[T]:
    """Returns at most `MAX_TRIALS` trials: the best half, and an even choice of the others.

    Args:
        ranked: All trials, best first.
    """
    if len(ranked) <= MAX_TRIALS:
        return ranked
    half = MAX_TRIALS // 2
    rest = ranked[half:]
    return ranked[:half] + [rest[len(rest) * index // half] for index in range(half)]


def subsample_note(count: int) -> str:
    """Returns the sentence that a chart's note adds if not all trials are drawn, else empty."""
    if count <= MAX_TRIALS:
        return ""
    half = MAX_TRIALS // 2
    return f" Shows {MAX_TRIALS} of {count} trials: the best {half} and a choice of the others."


def learning_curves(sweep: LoadedSweep) -> Chart:
    """Draws the metric by epoch of every trial, or of a subsample if there are many."""
    title = "Learning curves"
    drawable = [result for result in sweep.results if result.best is not None]
    if not drawable:
        return Chart(title, "", missing=f"{sweep.missing_best.capitalize()}.")
    chosen = subsample(drawable)
    note = f"{sweep.metric} by epoch, coloured by the trial's state; the best trial is black."
    note += subsample_note(len(drawable))
    figure = go.Figure()
    in_legend: set[str] = set()
    for result in reversed(chosen):
        is_best = result is drawable[0]
        figure.add_trace(_curve(result, sweep.metric, in_legend, is_best=is_best))
    if sweep.rungs:
        note += " Dotted lines mark the epochs at which the scheduler stops or pauses trials."
    for epoch in sweep.rungs:
        figure.add_vline(x=epoch, line_dash="dot", line_color="#555", line_width=1)
    figure.update_xaxes(title="epoch").update_yaxes(title=sweep.metric)
    return Chart(title, note, figure.update_layout(height=520, hovermode="closest"))


def _curve(result: TrialResult, metric: str, in_legend: set[str], *, is_best: bool) -> go.Scatter:
    state = "best" if is_best else result.record.state
    is_first = state not in in_legend
    in_legend.add(state)
    return go.Scatter(
        x=[row["epoch"] for row in result.rows],
        y=[row[metric] if is_scored(row, metric) else None for row in result.rows],
        mode="lines+markers" if is_best or len(result.rows) == 1 else "lines",
        name=state,
        legendgroup=state,
        showlegend=is_first,
        opacity=1.0 if is_best else 0.55,
        line={"color": STATE_COLOURS.get(state, "#000"), "width": 2.5 if is_best else 1.2},
        marker={"size": 5},
        hovertemplate=f"{result.record.id} ({result.record.state})<br>epoch %{{x}}: %{{y:.4f}}"
        "<extra></extra>",
    )


def stopped_trials(sweep: LoadedSweep) -> Chart:
    """Draws the number of trials that trained each epoch and that were stopped after it."""
    title = "Stopped trials by epoch"
    ended = [r for r in sweep.results if r.record.state == "stopped" and r.rows]
    stopped = Counter(len(result.rows) for result in ended)
    name = sweep.search["tune"]["scheduler"]["name"]
    if not stopped:
        return Chart(title, "", missing=f"No trial was stopped early (scheduler: {name}).")
    longest = max(len(result.rows) for result in sweep.results)
    epochs = list(range(1, longest + 1))
    trained = [sum(len(result.rows) >= epoch for result in sweep.results) for epoch in epochs]
    figure = go.Figure(
        [
            go.Bar(
                x=epochs,
                y=trained,
                name="trained this epoch",
                marker_color="#c9dcef",
            ),
            go.Bar(
                x=sorted(stopped),
                y=[stopped[epoch] for epoch in sorted(stopped)],
                name="stopped after this epoch",
                width=0.75,
                marker_color=STATE_COLOURS["stopped"],
            ),
        ]
    )
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_xaxes(title="epoch").update_yaxes(title="trials")
    rules = Counter(f"training.{r.record.stopped_by}" for r in ended if r.record.stopped_by)
    counts = {name: len(ended) - rules.total(), **dict(sorted(rules.items()))}
    listed = ", ".join(f"{count} by {rule}" for rule, count in counts.items() if count)
    note = f"Trials stopped early: {listed}. That saved {sweep.saved_epochs()} epochs."
    return Chart(title, note, figure)
