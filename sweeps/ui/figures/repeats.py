"""The spread of a configuration's trials: repeats, folds and final trials."""

from __future__ import annotations

from typing import Any

from sweeps.results.aggregate import Configuration
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.ui.figures.base import (
    BEST_COLOUR,
    COLOURS,
    TRIAL,
    Chart,
    Figure,
    build_layout,
    escape_text,
)
from sweeps.ui.figures.curves import best_value

MAX_CONFIGURATIONS = 30
"""Configurations that are drawn, the best ones."""


def repeats_chart(sweep: LoadedSweep) -> Chart:
    """Draws the scores of every configuration's trials with their mean and standard deviation."""
    configurations = sweep.configurations[:MAX_CONFIGURATIONS]
    if not configurations:
        return Chart("No configuration has several trials.")
    data = [_points(sweep, configurations), _means(configurations)]
    positions = list(range(len(configurations)))
    axis = {
        "tickvals": positions,
        "ticktext": [_label(configuration) for configuration in configurations],
        "range": [-0.6, len(configurations) - 0.4],
    }
    layout = build_layout(
        "configuration, best first", sweep.metric, f"{sweep.record.name} repeats", xaxis=axis
    )
    count = len(sweep.configurations)
    shown = f" The best {MAX_CONFIGURATIONS} of {count}." if count > MAX_CONFIGURATIONS else ""
    finals = " Where there are final trials (*), only these count." * any(
        configuration.final for configuration in configurations
    )
    note = (
        f"Best {sweep.metric} of each trial; the bars are mean and standard deviation of a "
        f"configuration.{finals}{shown}"
    )
    return Chart(note, {"data": data, "layout": layout})


def _label(configuration: Configuration) -> str:
    return f"{configuration.number}{'*' * configuration.final}"


def _points(sweep: LoadedSweep, configurations: list[Configuration]) -> Figure:
    points: list[tuple[int, float, str]] = []
    for position, configuration in enumerate(configurations):
        points += [
            (position, best_value(result, sweep.metric), result.record.id)
            for result in configuration.results
            if result.best is not None and result.record.final == configuration.final
        ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "customdata": [name for _, _, name in points],
        "text": [escape_text(name) for _, _, name in points],
        "marker": {"color": COLOURS[0], "size": 7, "opacity": 0.6},
        "name": "trial",
        "meta": TRIAL,
        "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
    }


def _means(configurations: list[Configuration]) -> Figure:
    deviations: list[Any] = [configuration.sd or 0.0 for configuration in configurations]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(range(len(configurations))),
        "y": [configuration.mean for configuration in configurations],
        "error_y": {
            "type": "data",
            "array": deviations,
            "color": BEST_COLOUR,
            "thickness": 1.5,
            "width": 5,
        },
        "marker": {
            "color": BEST_COLOUR,
            "size": 9,
            "symbol": "line-ew-open",
            "line": {"width": 3},
        },
        "name": "mean",
        "hovertemplate": "mean %{y:.4g}<extra></extra>",
    }
