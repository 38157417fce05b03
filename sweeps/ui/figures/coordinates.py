"""Parallel coordinates of a sweep's trials, and the trials that a brush selects.

Plotly's parallel coordinates have numbers only and draw a missing value at 0, so that an axis
holds positions: log10 of a value on a logarithmic axis, the number of a category, and a place of
its own for trials without the key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.space.parsing import is_logarithmic
from sweeps.terminal.formatting import format_value
from sweeps.terminal.tables import shorten
from sweeps.ui.figures.base import Chart, MetricColours, escape_text, frame, pack
from sweeps.ui.figures.curves import best_value
from trainable.experiment.console import to_printable

MAX_AXES = 9
"""Parameters that are drawn, the first ones; the metric has an axis besides."""
MAX_CATEGORIES = 40
MISSING = "no value"
"""The tick of trials that do not have the key."""
MISSING_SPACE = 0.12
"""Distance of that tick from the lowest value as a share of the axis."""
MAX_LABEL = 26
SNAPS = 60
"""Places that a brush snaps to on an axis with ticks of our own; Plotly knows no others there."""

Ranges = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Axis:
    """An axis and the place of every value on it."""

    key: str
    low: float
    high: float
    is_log: bool = False
    categories: tuple[str, ...] | None = None
    """Texts of the values by position; None if they are numbers."""
    missing: float | None = None
    """Position of trials without the key; None if all have it."""

    def position(self, value: Any) -> float:
        """Returns the place of a value; NaN if it has none."""
        if value is None:
            return math.nan if self.missing is None else self.missing
        if self.categories is not None:
            text = category_text(value)
            return float(self.categories.index(text)) if text in self.categories else math.nan
        number = float(value)
        return math.log10(number) if self.is_log else number

    def ticks(self) -> list[tuple[float, str]]:
        """Returns the places and texts of the axis's ticks, the lowest first."""
        first = [] if self.missing is None else [(self.missing, MISSING)]
        if self.categories is not None:
            texts = [shorten(to_printable(text), MAX_LABEL, "...") for text in self.categories]
            return [*first, *((float(place), text) for place, text in enumerate(texts))]
        if self.is_log:
            return [*first, *_add_snaps(_log_ticks(self.low, self.high))]
        return [*first, *_add_snaps(_linear_ticks(self.low, self.high))]

    @property
    def has_own_ticks(self) -> bool:
        """Whether Plotly's ticks, which are those of plain numbers, do not suit it."""
        return self.is_log or self.categories is not None or self.missing is not None

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest place."""
        return (self.low if self.missing is None else self.missing), self.high

    def to_json(self) -> dict[str, Any]:
        """Returns the axis as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Axis:
        """Returns the axis that `to_json` has given."""
        categories = values["categories"]
        return cls(**{**values, "categories": None if categories is None else tuple(categories)})


def category_text(value: Any) -> str:
    """Returns the text of a category; a number has the same text as an integer and as a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def build_axes(sweep: LoadedSweep, keys: Sequence[str] | None = None) -> list[Axis]:
    """Returns the axes of a sweep: of the keys that differ between its trials, and the metric.

    Args:
        sweep: The sweep.
        keys: The keys to draw, in order; None means the sampled ones.
    """
    results = _drawable(sweep)
    axes = []
    for key in sweep.sampled_keys if keys is None else keys:
        values = [result.values.get(key) for result in results]
        if len({_identity(value) for value in values}) > 1:
            axis = _build_axis(key, values, sweep.search["space"].get(key))
            axes += [] if axis is None else [axis]
    metric = _build_axis(
        sweep.metric, [best_value(result, sweep.metric) for result in results], None
    )
    return [*axes[:MAX_AXES], *([] if metric is None else [metric])]


def parallel_coordinates(
    sweep: LoadedSweep, axes: Sequence[Axis], brushes: Mapping[str, Ranges]
) -> Chart:
    """Draws one line per trial that has the metric, coloured by it.

    Args:
        sweep: The sweep.
        axes: What `build_axes` returns.
        brushes: Key of an axis -> ranges of places that are selected from the start.
    """
    results = _drawable(sweep)
    if len(results) < 2:
        return Chart(f"This needs at least two trials with a result; there are {len(results)}.")
    if len(axes) < 2:
        return Chart("All trials have the same values.")
    scores = [best_value(result, sweep.metric) for result in results]
    colours = MetricColours.of(scores, sweep.mode)
    dimensions = []
    for axis in axes:
        values = [axis.position(_value(result, axis.key, sweep.metric)) for result in results]
        dimension: dict[str, Any] = {
            "label": escape_text(_axis_label(axis.key)),
            "values": pack(values),
            "range": list(axis.range),
        }
        if axis.has_own_ticks:
            ticks = axis.ticks()
            dimension["tickvals"] = [place for place, _ in ticks]
            dimension["ticktext"] = [escape(text, quote=False) for _, text in ticks]
        if axis.key in brushes:
            dimension["constraintrange"] = [list(pair) for pair in brushes[axis.key]]
        dimensions.append(dimension)
    trace = {
        "type": "parcoords",
        "uid": "coordinates",
        "uirevision": "coordinates",
        "labelangle": -12,
        "labelside": "top",
        "dimensions": dimensions,
        "line": {**colours.axis(f"best {sweep.metric}"), "color": pack(scores)},
        "unselected": {"line": {"opacity": 0.04}},
    }
    names = " ".join(axis.key for axis in axes)
    layout = {**frame(names), "margin": {"l": 90, "r": 40, "t": 90, "b": 24}}
    note = (
        "One line per trial, coloured by its best "
        f"{sweep.metric}. Drag along an axis to select the trials in the table; a click on the "
        "axis takes it back."
    )
    return Chart(note, {"data": [trace], "layout": layout})


def add_brush(
    brushes: Mapping[str, Ranges], restyled: Any, axes: Sequence[Axis]
) -> dict[str, Any]:
    """Returns the brushes after a change in the browser.

    Args:
        brushes: Key of an axis -> ranges of places that are selected.
        restyled: The `restyleData` of the graph.
        axes: The axes that it shows.
    """
    changed = dict(brushes)
    changes = restyled[0] if isinstance(restyled, list) and restyled else {}
    for name, value in changes.items() if isinstance(changes, dict) else ():
        match = re.fullmatch(r"dimensions\[(\d{1,3})\]\.constraintrange", name)
        if match is None or int(match[1]) >= len(axes):
            continue
        key = axes[int(match[1])].key
        ranges = _flatten_ranges(value)
        if ranges:
            changed[key] = ranges
        else:
            changed.pop(key, None)
    return changed


def _flatten_ranges(value: Any) -> list[list[float]]:
    """Returns the ranges in a `constraintrange`, which is nested differently from case to case."""
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(item, int | float) for item in value):
        return [[float(value[0]), float(value[1])]] if len(value) == 2 else []
    return [pair for item in value for pair in _flatten_ranges(item)]


def selected_trials(
    sweep: LoadedSweep, axes: Iterable[Axis], brushes: Mapping[str, Ranges]
) -> list[str]:
    """Returns the ids of the trials that lie in every brush, best first; none without a brush."""
    used = [(axis, brushes[axis.key]) for axis in axes if axis.key in brushes]
    if not used:
        return []
    return [
        result.record.id
        for result in _drawable(sweep)
        if all(
            any(
                low <= axis.position(_value(result, axis.key, sweep.metric)) <= high
                for low, high in ranges
            )
            for axis, ranges in used
        )
    ]


def _drawable(sweep: LoadedSweep) -> list[TrialResult]:
    return [result for result in sweep.results if result.best is not None]


def _value(result: TrialResult, key: str, metric: str) -> Any:
    return best_value(result, metric) if key == metric else result.values.get(key)


def _identity(value: Any) -> str:
    return json.dumps(value)


def _axis_label(key: str) -> str:
    """Returns the last part of a key that fits above an axis."""
    return key if len(key) <= MAX_LABEL else f"...{key[-MAX_LABEL + 3 :]}"


# ------------------------------------------------------------------------------ one axis


def _build_axis(key: str, values: Sequence[Any], parameter: Any) -> Axis | None:
    """Returns the axis of a key; None if it has too many categories or no value."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    lacks = len(present) < len(values)
    numbers = [value for value in present if _is_number(value)]
    options = parameter.get("choice") if isinstance(parameter, Mapping) else None
    if len(numbers) < len(present) or _is_short_choice(options):
        listed = [category_text(value) for value in [*(options or ()), *present]]
        if len(numbers) == len(present) and all(map(_is_number, options or ())):
            listed.sort(key=float)
        categories = tuple(dict.fromkeys(listed))
        if len(categories) > MAX_CATEGORIES:
            return None
        missing = -1.0 if lacks else None
        return Axis(key, 0.0, float(len(categories) - 1), False, categories, missing)
    low, high = float(min(numbers)), float(max(numbers))
    is_log = low > 0 and is_logarithmic(parameter)
    if is_log:
        low, high = math.log10(low), math.log10(high)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    missing = low - MISSING_SPACE * (high - low) if lacks else None
    return Axis(key, low, high, is_log, None, missing)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_short_choice(options: Any) -> bool:
    return isinstance(options, list) and 0 < len(options) <= MAX_CATEGORIES


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Returns both ends and the powers of ten between them that are not too near."""
    space = 0.06 * (high - low)
    powers = range(math.ceil(low), math.floor(high) + 1)
    step = max(1, math.ceil(len(powers) / 8))
    inner = [float(p) for p in powers if p % step == 0 and low + space < p < high - space]
    return [(place, format_value(float(f"{10**place:.3g}"))) for place in (low, *inner, high)]


def _add_snaps(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Adds ticks that cannot be seen; each has another text, as Plotly tells them apart by it."""
    low, high = ticks[0][0], ticks[-1][0]
    gap = (high - low) / SNAPS
    blank = [
        (low + number * gap, " " * number)
        for number in range(1, SNAPS)
        if all(abs(low + number * gap - place) > gap / 2 for place, _ in ticks)
    ]
    return sorted([*ticks, *blank])


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Returns both ends and round numbers between them."""
    raw = (high - low) / 5
    scale = 10 ** math.floor(math.log10(raw))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= raw * 0.999)
    space = 0.06 * (high - low)
    first = math.ceil(low / step)
    inner = [
        number * step
        for number in range(first, math.floor(high / step) + 1)
        if low + space < number * step < high - space
    ]
    return [(place, format_value(float(f"{place:.4g}"))) for place in (low, *inner, high)]
