"""The charts of a report that Optuna does not have: curves with rungs, and what was stopped."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

import plotly.graph_objects as go

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from trainable.artifacts.metrics import read_rows

MANY = 200
"""Trials above which only some of them are drawn one by one, or count for the contours, whose
size grows with the square of the number."""
T = TypeVar("T")
COLOURS = {
    "finished": "#1f77b4",
    "stopped": "#ff9f40",
    "failed": "#d62728",
    "running": "#2ca02c",
    "paused": "#7f7f7f",
    "pending": "#c7c7c7",
}


@dataclass(frozen=True)
class Chart:
    """One chart, or why there is none."""

    title: str
    note: str
    figure: go.Figure | None = None
    missing: str = ""


def some_of(ranked: list[T]) -> list[T]:
    """All trials, or the best and an even choice of the others, where there are many.

    Args:
        ranked: Best first.
    """
    if len(ranked) <= MANY:
        return ranked
    half = MANY // 2
    rest = ranked[half:]
    return ranked[:half] + [rest[len(rest) * index // half] for index in range(half)]


def of_some(count: int) -> str:
    """What to add to the note of a chart of some of so many trials."""
    if count <= MANY:
        return ""
    return f" {MANY} of {count} trials: the best {MANY // 2}, of the others some."


def learning_curves(sweep: LoadedSweep) -> Chart:
    """The metric by epoch of every trial, or of the best and an even choice of the others."""
    title = "Learning curves"
    drawable = [result for result in sweep.results if result.best is not None]
    if not drawable:
        return Chart(title, "", missing="No trial has completed an epoch.")
    chosen = some_of(drawable)
    note = f"{sweep.metric} by epoch, coloured by how the trial ended; the best one is black."
    note += of_some(len(drawable))
    figure = go.Figure()
    named: set[str] = set()
    for result in reversed(chosen):
        is_best = result is drawable[0]
        figure.add_trace(_curve(result, sweep.metric, named, is_best=is_best))
    marks = rungs(sweep)
    if marks:
        note += " Dotted lines: the epochs at which the scheduler decides."
    for epoch in marks:
        figure.add_vline(x=epoch, line_dash="dot", line_color="#555", line_width=1)
    figure.update_xaxes(title="epoch").update_yaxes(title=sweep.metric)
    return Chart(title, note, figure.update_layout(height=520, hovermode="closest"))


def _curve(result: TrialResult, metric: str, named: set[str], *, is_best: bool) -> go.Scatter:
    state = "best" if is_best else result.record.state
    first = state not in named
    named.add(state)
    return go.Scatter(
        x=[row["epoch"] for row in result.rows],
        y=[row.get(metric) for row in result.rows],
        mode="lines+markers" if is_best or len(result.rows) == 1 else "lines",
        name=state,
        legendgroup=state,
        showlegend=first,
        opacity=1.0 if is_best else 0.55,
        line={"color": COLOURS.get(state, "#000"), "width": 2.5 if is_best else 1.2},
        marker={"size": 5},
        hovertemplate=f"{result.record.id} ({result.record.state})<br>epoch %{{x}}: %{{y:.4f}}"
        "<extra></extra>",
    )


def rungs(sweep: LoadedSweep) -> list[int]:
    """The epochs at which the sweep's scheduler compares trials and ends some."""
    section = sweep.search["tune"]["scheduler"]
    if section["name"] == "asha":
        most = section["max_t"] or sweep.search["config"]["training"]["epochs"]
        found = set()
        for bracket in range(section["brackets"]):
            epoch = section["grace_period"] * section["reduction_factor"] ** bracket
            while epoch < most:
                found.add(math.ceil(epoch))
                epoch *= section["reduction_factor"]
        return sorted(found)
    if section["name"] == "hyperband":
        events = read_rows(sweep.directory / "events.jsonl")
        return sorted({e["epoch"] for e in events if e.get("decision") in {"STOP", "PAUSE"}})
    return []


def stops(sweep: LoadedSweep) -> Chart:
    """How many trials the scheduler stopped after which epoch, and how many were left."""
    title = "What the scheduler stopped"
    stopped = Counter(len(r.rows) for r in sweep.results if r.record.state == "stopped" and r.rows)
    name = sweep.search["tune"]["scheduler"]["name"]
    if not stopped:
        return Chart(title, "", missing=f"The scheduler ({name}) has stopped no trial.")
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
                name="stopped after it",
                width=0.75,
                marker_color=COLOURS["stopped"],
            ),
        ]
    )
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_xaxes(title="epoch").update_yaxes(title="trials")
    note = (
        f"{sum(stopped.values())} trials were ended early by {name}, which saved "
        f"{sweep.saved_epochs()} epochs."
    )
    return Chart(title, note, figure)
