"""HTML tables of `report.html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from sweeps.results.aggregate import Configuration
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.formatting import format_value

MAX_ROWS = 100
"""Rows that a table shows."""
MAX_OPEN_ROWS = 12
"""Rows of a table that is not folded."""


class Markup(str):
    """HTML that a cell shows as it is; all other text is escaped."""

    __slots__ = ()


def name_value_table(rows: Mapping[str, Any]) -> str:
    """Returns a table of names and their values."""
    lines = [
        f"<tr><th>{escape(name)}</th><td>{escape(format_value(v))}</td></tr>"
        for name, v in rows.items()
    ]
    return f"<table>{''.join(lines)}</table>"


def row_table(head: list[str], rows: list[list[Any]]) -> str:
    """Returns a table of the first rows, folded if it is long."""
    headings = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [
        "<tr>" + "".join(f"<td>{_render(value)}</td>" for value in row) + "</tr>"
        for row in rows[:MAX_ROWS]
    ]
    more = f"<p>{len(rows) - MAX_ROWS} more.</p>" if len(rows) > MAX_ROWS else ""
    table = f"<table><tr>{headings}</tr>{''.join(lines)}</table>{more}"
    if len(rows) <= MAX_OPEN_ROWS:
        return table
    return f"<details><summary>{len(rows)} rows</summary>{table}</details>"


def foldable_text(text: str, details: str, summary: str) -> Markup:
    """Returns a cell with a text that wraps, and a longer one that opens with a click.

    Args:
        text: The text that is always shown.
        details: The longer text; none is folded if it says no more.
        summary: What to click on.
    """
    shown = f'<div class="long">{escape(text)}</div>'
    if details.strip() in {"", text.strip()}:
        return Markup(shown)
    body = f'<pre class="long">{escape(details)}</pre>'
    return Markup(f"{shown}<details><summary>{escape(summary)}</summary>{body}</details>")


def _render(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(format_value(value))


def configurations_table(configurations: list[Configuration], metric: str) -> str:
    """Returns the configurations with mean and spread of their trials, best first."""
    rows = [
        [
            configuration.number,
            f"{configuration.mean:.4f}",
            None if configuration.sd is None else f"{configuration.sd:.4f}",
            f"{len(configuration.scores)}{' final' if configuration.final else ''}",
            configuration.results[0].record.id,
        ]
        for configuration in configurations
    ]
    return row_table(["configuration", f"mean {metric}", "sd", "trials", "best trial"], rows)


def pareto_table(front: Iterable[TrialResult], metrics: Iterable[str]) -> str:
    """Returns the trials of a Pareto front with their metrics and sampled values."""
    names = list(metrics)
    rows = []
    for result in front:
        best = result.own_best or {}
        values = ", ".join(f"{k} {format_value(v)}" for k, v in result.values.items())
        rows.append([result.record.id, *(best[name] for name in names), best["epoch"], values])
    return row_table(["trial", *names, "epoch", "values"], rows)
