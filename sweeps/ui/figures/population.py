"""Values of the space that change while a trial trains (population based training)."""

from __future__ import annotations

from typing import Any

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.ui.figures.base import (
    PLAIN,
    Chart,
    MetricColours,
    build_layout,
    escape_text,
    to_floats,
)
from sweeps.ui.figures.curves import best_value, choose_trials, colour_bar, trial_line
from trainable.trial_settings import VALUES

DECADES = 20
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


def changing_keys(sweep: LoadedSweep) -> list[str]:
    """Lists the keys of the space whose values the scheduler has changed while trials trained."""
    keys: dict[str, None] = {}
    for result in sweep.results:
        record = result.record
        for step in record.lineage:
            keys |= {k: None for k, v in step["values"].items() if record.values.get(k) != v}
    return list(keys)


def values_by_epoch(sweep: LoadedSweep, key: str) -> Chart:
    """Draws the values that PBT has given to a key, by epoch, one line per trial."""
    chosen = choose_trials([r for r in sweep.results if key in r.record.values], ())
    scores = [best_value(result, sweep.metric) for result in chosen]
    colours = MetricColours.of(scores, sweep.mode)
    columns = [_values(result, key) for result in chosen]
    kind = _axis_type([value for column in columns for value in column])
    traces = []
    for result, column, score in zip(chosen, columns, scores, strict=True):
        line = trial_line(result, to_floats(column), colours.colour(score), PLAIN)
        line["line"]["shape"] = "hv"
        if kind == "category":
            line["y"] = [escape_text(str(value)) for value in column]
            line["hovertemplate"] = line["hovertemplate"].replace("%{y:.4g}", "%{y}")
        traces.append(line)
    layout = build_layout("epoch", key, f"{sweep.record.name} {key}", yaxis={"type": kind})
    figure = {"data": [*reversed(traces), colour_bar(colours, f"best {sweep.metric}")]}
    note = f"{key} by epoch; a step is a copy of a better trial with a changed value. Coloured by "
    return Chart(f"{note}the trial's best {sweep.metric}.", {**figure, "layout": layout})


def _values(result: TrialResult, key: str) -> list[Any]:
    """Returns the value that each epoch of a trial was trained with."""
    record = result.record
    values = []
    for row in result.rows:
        value = record.values.get(key)
        for step in record.lineage:
            if step["epoch"] < row["epoch"]:
                value = step["values"].get(key, value)
        values.append((row.get(VALUES) or {}).get(key, value))
    return values


def _axis_type(values: list[Any]) -> str:
    """Returns `category` if a value is not a number, `log` if they span decades, else `linear`."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return "category"
    low, high = min(values, default=0), max(values, default=0)
    return "log" if low > 0 and high > DECADES * low else "linear"
