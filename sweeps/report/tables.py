"""HTML tables of `report.html`; all text in them is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sweeps.terminal.formatting import format_value
from trainable.experiment.console import escape_controls

MAX_ROWS = 100
"""Rows that a table shows."""
MAX_OPEN_ROWS = 12
"""Rows of a table that is not folded."""


class Markup(str):
    """HTML that a cell shows as it is; all other text is escaped."""

    __slots__ = ()


def format_score(value: float) -> str:
    """Returns a metric with four decimals, or as a power of ten, like `core.js` formatMetric."""
    size = abs(value)
    if size != 0 and (size < 1e-3 or size >= 1e5):
        digits, power = f"{value:.3e}".split("e")
        return f"{digits}e{int(power):+d}"
    return f"{value:.4f}"


def zoned_time(time: str) -> str:
    """Returns a recorded time with the name of its zone: `2026-01-15 14:30:22 UTC+02:00`."""
    zone = time[19:]
    return time.replace("T", " ")[:19] + (f" UTC{zone.removeprefix('+00:00')}" if zone else "")


def trial_link(trial_id: str) -> Markup:
    """Returns the id of a trial, which the page's script opens."""
    return Markup(f'<a class="id" href="#trial-{escape(trial_id)}">{escape(trial_id)}</a>')


def name_value_table(rows: Mapping[str, Any]) -> str:
    """Returns a table of names and their values."""
    lines = [
        f'<tr><th scope="row">{escape(name)}</th><td>{_render(value)}</td></tr>'
        for name, value in rows.items()
    ]
    return f'<div class="scroll"><table class="facts">{"".join(lines)}</table></div>'


def row_table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, limit: int = MAX_ROWS) -> str:
    """Returns a table of the first rows, folded if it is long."""
    headings = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = [
        "<tr>" + "".join(f"<td{_kind(value)}>{_render(value)}</td>" for value in row) + "</tr>"
        for row in rows[:limit]
    ]
    more = f"<p>{len(rows) - limit} more.</p>" if len(rows) > limit else ""
    table = (
        f'<div class="scroll"><table><thead><tr>{headings}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{more}"
    )
    if len(rows) <= MAX_OPEN_ROWS:
        return table
    return f"<details><summary>{len(rows)} rows</summary>{table}</details>"


def command(label: str, text: str) -> str:
    """Returns a command to type; the page's script adds a button that copies it."""
    return f'<div class="command"><span>{escape(label)}</span><code>{escape(text)}</code></div>'


def plain_text(text: str, class_name: str = "text") -> str:
    """Returns text of unknown origin with its line breaks."""
    return f'<pre class="{class_name}">{escape(escape_controls(text))}</pre>'


def _render(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(format_value(value))


def _kind(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ' class="number"' if is_number else ""
