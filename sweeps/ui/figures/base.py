"""Arrays, colours and layouts that all figures share."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from trainable.experiment.console import to_printable

Figure = dict[str, Any]
Floats = npt.NDArray[np.float32]

METRIC_SCALE = ((0.0, "#8d99ae"), (0.5, "#4f7cd6"), (0.8, "#b04fb8"), (1.0, "#f0701e"))
"""Colours of a metric from worst to best; each can be seen on white and on black."""
BEST_COLOUR = "#f0701e"
UNSCORED_COLOUR = "#8d99ae"
COLOURS = (
    *("#4f7cd6", "#f0701e", "#2fa36b", "#b04fb8", "#d64550"),
    *("#1fa3b5", "#a8862a", "#8d99ae", "#e377c2", "#7a6ff0"),
)
"""Colours of lines that are told apart by them."""
FAINT, PLAIN = 0.18, 0.8
"""Opacities of lines that are in the background, and of others."""
OUTLIER_RANGES = 10.0
"""An axis leaves values out that would make it longer than so many times its middle 96 %."""
MARGIN = {"l": 64, "r": 24, "t": 16, "b": 48}


TRIAL = "trial"
"""The `meta` of traces whose points or whole line belong to a trial; a click opens its page."""


@dataclass(frozen=True)
class Chart:
    """A figure with a sentence about it, or the reason why there is none."""

    note: str
    figure: Figure | None = None


def pack(values: Sequence[Any]) -> dict[str, str]:
    """Returns numbers as Plotly's base64 array; what is not a number becomes a gap."""
    return pack_array(to_floats(values))


def pack_array(array: npt.NDArray[Any]) -> dict[str, str]:
    """Returns an array of float32, of one or two dimensions, as Plotly's base64 array."""
    data = base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")
    shape = {"shape": ", ".join(map(str, array.shape))} if array.ndim > 1 else {}
    return {"dtype": "f4", "bdata": data, **shape}


def to_floats(values: Sequence[Any]) -> Floats:
    """Returns numbers as float32; NaN where there is no finite number."""
    with np.errstate(over="ignore"):
        try:
            array = np.array(values, dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            array = np.array([_to_float(value) for value in values], dtype=np.float32)
    array[~np.isfinite(array)] = np.nan
    return array


def _to_float(value: Any) -> float:
    if not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def build_layout(x: str, y: str, revision: str, **more: Any) -> Figure:
    """Returns the layout of a figure with two axes.

    Args:
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        revision: As long as it stays the same, an update keeps the user's zoom.
        **more: Other keys of Plotly's layout; those of an axis are added to it.
    """
    axis = {"gridcolor": "#d5dbe3", "zeroline": False, "automargin": True}
    return {
        **frame(revision),
        "hovermode": "closest",
        "showlegend": False,
        **more,
        "xaxis": {**axis, "title": {"text": escape_text(x)}, **more.get("xaxis", {})},
        "yaxis": {
            **axis,
            "title": {"text": escape_text(y), "standoff": 10},
            **more.get("yaxis", {}),
        },
    }


def escape_text(text: str) -> str:
    """Returns a text that Plotly shows as it is; it takes tags in a text for markup."""
    return escape(to_printable(text), quote=False)


def frame(revision: str) -> Figure:
    """Returns what the layout of any figure has."""
    return {
        "uirevision": revision,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "margin": dict(MARGIN),
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8d99ae", "activecolor": "#4f7cd6"},
    }


def axis_range(values: Floats) -> list[float] | None:
    """Returns the range of an axis.

    Args:
        values: What it shows; may have NaN.

    Returns:
        [low, high] with some space around; None if there is no value. Few values that lie far
        outside, such as losses of trials that diverge, are left out.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    inner_low, inner_high = np.quantile(finite, [0.02, 0.98])
    width = float(inner_high - inner_low)
    if width > 0 and high - low > OUTLIER_RANGES * width:
        low, high = max(low, inner_low - width / 4), min(high, inner_high + width / 4)
    space = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return [float(low - space), float(high + space)]


def range_of(span: list[float] | None) -> Figure:
    """Returns the keys of an axis that set its range; none leave it to the browser."""
    return {} if span is None else {"range": span}


def scale_colour(share: float) -> str:
    """Returns the colour of a share, 0 for the worst and 1 for the best, on `METRIC_SCALE`."""
    if not math.isfinite(share):
        return UNSCORED_COLOUR
    share = min(max(share, 0.0), 1.0)
    for (start, first), (end, second) in itertools.pairwise(METRIC_SCALE):
        if share <= end:
            return _mix(first, second, (share - start) / (end - start))
    return BEST_COLOUR


def _mix(first: str, second: str, weight: float) -> str:
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * weight):02x}" for a, b in pairs)


@dataclass(frozen=True)
class MetricColours:
    """Colours trials by a metric."""

    low: float
    high: float
    """The values with the first and the last colour of the scale."""
    is_reversed: bool
    """Whether low values are good."""

    @classmethod
    def of(cls, values: Iterable[float], mode: str) -> MetricColours:
        """Returns colours for these values; the worst ones share a colour.

        Args:
            values: The metric of trials; may have NaN.
            mode: `max` or `min`.
        """
        finite = sorted(value for value in values if math.isfinite(value))
        if not finite:
            return cls(0.0, 1.0, mode == "min")
        tenth = len(finite) // 10
        low, high = finite[0], finite[-1]
        if mode == "min":
            high = finite[-1 - tenth]
        else:
            low = finite[tenth]
        return cls(low, high, mode == "min")

    def colour(self, value: float) -> str:
        """Returns the colour of a value."""
        return scale_colour(self._share(value))

    def _share(self, value: float) -> float:
        width = self.high - self.low
        share = (value - self.low) / width if width else 1.0 - self.is_reversed
        return 1 - share if self.is_reversed else share

    def axis(self, title: str) -> Figure:
        """Returns the keys of a `marker` or `line` that draw a colour bar."""
        return {
            "colorscale": METRIC_SCALE,
            "reversescale": self.is_reversed,
            "cmin": self.low,
            "cmax": self.high if self.high > self.low else self.low + 1e-9,
            "showscale": True,
            "colorbar": {
                "title": {"text": escape_text(title), "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                "len": 1.0,
            },
        }


def parse_time(text: str | None) -> float | None:
    """Returns a recorded time as seconds since 1970; None if it is none."""
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
