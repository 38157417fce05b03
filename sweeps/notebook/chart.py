"""Line charts as SVG: small, without JavaScript, readable on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 34
"""Margins of the plot in the chart."""
LINE_COLOUR, POINT_COLOUR = "#d9730d", "#4c8dd6"
"""Colours with a contrast of at least 3 to white and to the backgrounds of dark notebooks."""
MOST_TICKS = 5
LARGEST = 5e307
"""Largest value that is drawn where it is; a range of twice that can still be computed with."""
SMALLEST_SPAN, SMALLEST_SHARE = 1e-300, 1e-9
"""Values that differ by less, or by a smaller share of their size, are drawn as equal."""
Point = tuple[float, float]


def draw_chart(
    points: Sequence[Point], line: Sequence[Point], *, x_title: str, y_title: str, title: str
) -> str:
    """Draws points and a line over the same axes.

    Args:
        points: (x, y); those that are not finite are left out.
        line: (x, y) in order of x; likewise.
        x_title: Title of the horizontal axis, along which whole numbers are counted.
        y_title: Title of the vertical axis.
        title: What a screen reader says.

    Returns:
        The picture; empty if no point is finite.
    """
    points, line = _select_finite(points), _select_finite(line)
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_range, y_range = _pad(min(xs), max(xs), 0.02), _pad(min(ys), max(ys), 0.06)

    def place(point: Point) -> str:
        """Returns a point's coordinates in the chart."""
        x = LEFT + (point[0] - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)
        y = TOP + (y_range[1] - point[1]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f} {y:.1f}"

    parts = [
        *(_draw_y_tick(y, place((x_range[0], y))) for y in _list_ticks(*y_range)),
        *(
            _draw_x_tick(x, place((x, y_range[0])))
            for x in _list_ticks(*x_range)
            if x == int(x) and min(xs) <= x <= max(xs)
        ),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_title)}</text>",
        f'<text transform="translate(11 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_title)}</text>',
        _draw_path("".join(f"M{place(p)}h0" for p in points), POINT_COLOUR, 5, opacity=0.75),
        _draw_path("M" + "L".join(map(place, line)), LINE_COLOUR, 2) if line else "",
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        'xmlns="http://www.w3.org/2000/svg" fill="currentColor" '
        'style="max-width:100%;height:auto;font:11px sans-serif">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _select_finite(points: Sequence[Point]) -> list[Point]:
    """Returns the finite points, at most `LARGEST` from zero."""
    return [
        (x, min(max(y, -LARGEST), LARGEST))
        for x, y in points
        if math.isfinite(x) and math.isfinite(y)
    ]


def _pad(low: float, high: float, share: float) -> tuple[float, float]:
    """Returns a range that is wider by a share at both ends; never empty."""
    span = high - low
    if span <= max(SMALLEST_SPAN, SMALLEST_SHARE * max(abs(low), abs(high))):
        span = max(abs(high) * 0.1, 1e-3)
        return low - span * 0.5, high + span * 0.5
    return low - span * share, high + span * share


def _list_ticks(low: float, high: float) -> list[float]:
    """Returns multiples of 1, 2 or 5 times a power of ten, at most `MOST_TICKS`."""
    exponent = math.floor(math.log10((high - low) / MOST_TICKS))
    steps = (factor * 10.0 ** (exponent + more) for more in (0, 1) for factor in (1, 2, 5))
    step = next(s for s in steps if math.floor(high / s) - math.ceil(low / s) < MOST_TICKS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def _draw_y_tick(value: float, place: str) -> str:
    x, y = place.split()
    return (
        f'<path d="M{x} {y}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity="0.15"/>'
        f'<text x="{LEFT - 6}" y="{y}" dy="0.35em" text-anchor="end">{value:.6g}</text>'
    )


def _draw_x_tick(value: float, place: str) -> str:
    x, y = place.split()
    return f'<text x="{x}" y="{y}" dy="1.3em" text-anchor="middle">{value:.0f}</text>'


def _draw_path(path: str, colour: str, width: float, *, opacity: float = 1.0) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
        f'stroke-opacity="{opacity}" stroke-linecap="round" stroke-linejoin="round"/>'
    )
