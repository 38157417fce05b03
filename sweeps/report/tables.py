"""The tables of `report.html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from sweeps.results.aggregate import Configuration
from sweeps.results.trial_results import TrialResult

ROWS, OPEN_ROWS = 100, 12
"""Rows of a table at most, and how many are shown without a click."""


def number(value: Any) -> str:
    """A value in a table."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def pairs(rows: Mapping[str, Any]) -> str:
    """A table of names and their values."""
    lines = [
        f"<tr><th>{escape(name)}</th><td>{escape(number(v))}</td></tr>" for name, v in rows.items()
    ]
    return f"<table>{''.join(lines)}</table>"


def limited(head: list[str], rows: list[list[Any]]) -> str:
    """A table of the first rows; a long one is folded."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [
        "<tr>" + "".join(f"<td>{escape(number(value))}</td>" for value in row) + "</tr>"
        for row in rows[:ROWS]
    ]
    more = f"<p>{len(rows) - ROWS} more.</p>" if len(rows) > ROWS else ""
    drawn = f"<table><tr>{top}</tr>{''.join(lines)}</table>{more}"
    if len(rows) <= OPEN_ROWS:
        return drawn
    return f"<details><summary>{len(rows)} rows</summary>{drawn}</details>"


def of_configurations(found: list[Configuration], metric: str) -> str:
    """Configurations of several trials, best first."""
    rows = [
        [
            each.number,
            f"{each.mean:.4f}",
            None if each.sd is None else f"{each.sd:.4f}",
            f"{len(each.scores)}{' final' if each.final else ''}",
            each.results[0].record.id,
        ]
        for each in found
    ]
    return limited(["configuration", f"mean {metric}", "sd", "trials", "best trial"], rows)


def of_front(front: Iterable[TrialResult], metrics: Iterable[str]) -> str:
    """The trials of a Pareto front, with what they are compared by and their values."""
    names = list(metrics)
    rows = []
    for result in front:
        best = result.best or {}
        values = ", ".join(f"{k} {number(v)}" for k, v in result.record.current.items())
        rows.append([result.record.id, *(best[name] for name in names), best["epoch"], values])
    return limited(["trial", *names, "epoch", "values"], rows)
