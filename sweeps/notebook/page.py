"""A sweep, a trial and a running sweep as HTML for a notebook.

It has no scripts and needs no network. Text takes the colour of the notebook, so that it is
readable in light and dark ones. All text of the user is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import accumulate
from typing import Any

from sweeps.notebook.chart import Point, draw_chart
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.progress import SweepProgress, TrialProgress
from sweeps.results.ranking import sampled_keys
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import describe_state
from sweeps.terminal.formatting import format_metric, format_value
from sweeps.terminal.tables import shorten
from trainable.experiment.console import to_printable

MAX_TRIALS = 10
"""Trials of a ranking."""
MAX_KEYS = 8
"""Sampled values of a trial that a table shows."""
MAX_TEXT = 32
"""Characters of a text that a table shows."""
_BORDER = "1px solid rgba(128,128,128,0.35)"
_CELL = "padding:2px 10px 2px 0;text-align:{side};white-space:nowrap"


def sweep_html(sweep: LoadedSweep) -> str:
    """Returns a sweep's state, its ten best trials and the best score so far."""
    keys = sampled_keys(sweep.results)[:MAX_KEYS]
    headings = ["#", "trial", "state", sweep.metric, "epoch", *map(_last_part, keys)]
    rows = [
        [
            str(rank),
            result.record.id,
            result.record.state,
            format_metric(result.best, sweep.metric),
            "-" if result.best is None else str(result.best["epoch"]),
            *(_format(result.values.get(key)) for key in keys),
        ]
        for rank, result in enumerate(sweep.results[:MAX_TRIALS], start=1)
    ]
    more = len(sweep.results) - len(rows)
    parts = [
        f"<div><b>{_text(sweep.record.name)}</b>: {_text(_describe(sweep))}</div>",
        *(f"<div>note: {_text(damage)}</div>" for damage in sweep.damage),
        _draw_table(headings, rows) if rows else "",
        f'<div style="opacity:0.7">{more} more in <code>.trials</code></div>' if more else "",
        _draw_best_so_far(sweep),
    ]
    return f"<div>{''.join(parts)}</div>"


def _describe(sweep: LoadedSweep) -> str:
    parts = [
        describe_state(sweep.state, sweep.record.reason),
        f"{sweep.ended} of {sweep.total} trials ended",
    ]
    best = sweep.best
    if best is None:
        parts.append(sweep.missing_best)
    else:
        score = format_metric(best.best, sweep.metric)
        parts.append(f"{sweep.best_label} {sweep.metric} {score} ({best.record.id})")
    return ", ".join(parts)


def _draw_best_so_far(sweep: LoadedSweep) -> str:
    """Draws each trial's score and the best one so far, in order of creation."""
    scored = [result for result in sweep.results if result.best is not None]
    scored.sort(key=lambda result: result.record.number)
    scores = [float(result.best[sweep.metric]) for result in scored if result.best is not None]
    scores = [score for score in scores if math.isfinite(score)]
    if not scores:
        return ""
    points: list[Point] = [(float(n), score) for n, score in enumerate(scores, start=1)]
    best = list(accumulate(scores, max if sweep.mode == "max" else min))
    line = [(points[0][0], best[0])]
    for (x, _), before, value in zip(points[1:], best, best[1:], strict=False):
        line += [(x, before), (x, value)]
    title = f"{sweep.metric} of each trial in order of creation, and the best so far"
    return draw_chart(points, line, x_title="trials", y_title=sweep.metric, title=title)


def trial_html(trial: TrialResult, metric: str) -> str:
    """Returns a trial's state, score, values and the curve of the metric."""
    record, best = trial.record, trial.best
    facts: list[str] = [record.state]
    if best is not None:
        facts.append(f"{metric} {format_metric(best, metric)} at epoch {best['epoch']}")
    if record.state == "failed" and record.failures:
        facts.append(f"{record.failures[-1].cause}: {record.failures[-1].message}")
    values = [[key, _format(value)] for key, value in trial.values.items()]
    curve: list[Point] = [
        (float(row["epoch"]), float(row[metric]))
        for row in trial.rows
        if row.get(metric) is not None and math.isfinite(row[metric])
    ]
    title = f"{metric} of trial {record.id} by epoch"
    parts = [
        f"<div><b>trial {_text(record.id)}</b>: {_text(', '.join(facts))}</div>",
        _draw_table(["key", "value"], values) if values else "",
        draw_chart(curve, curve, x_title="epochs", y_title=metric, title=title) if curve else "",
    ]
    return f"<div>{''.join(parts)}</div>"


def progress_html(
    progress: SweepProgress, parts: Iterable[str], trials: Sequence[TrialProgress], metric: str
) -> str:
    """Returns a running sweep as a bar, a line and its best trials.

    Args:
        progress: The sweep's progress.
        parts: The parts of the line.
        trials: The trials to show, best first.
        metric: The metric that ranks them.
    """
    keys = list(dict.fromkeys(key for trial in trials for key in trial.record.current))[:MAX_KEYS]
    headings = ["#", "trial", "state", "epoch", f"best {metric}", *map(_last_part, keys)]
    rows = [
        [
            str(rank),
            trial.record.id,
            trial.record.state,
            f"{trial.epoch}/{trial.epochs}",
            "-" if trial.best is None else f"{trial.best:.4f}",
            *(_format(trial.record.current.get(key)) for key in keys),
        ]
        for rank, trial in enumerate(trials[:MAX_TRIALS], start=1)
    ]
    share = progress.ended / max(1, progress.total)
    bar = (
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="{progress.total}" '
        f'aria-valuenow="{progress.ended}" style="height:8px;max-width:640px;margin:4px 0;'
        'background:rgba(128,128,128,0.3);border-radius:4px">'
        f'<div style="height:8px;width:{share:.1%};background:#4c8dd6;border-radius:4px"></div>'
        "</div>"
    )
    line = " &nbsp; ".join(map(_text, parts))
    return f"<div>{bar}<div>{line}</div>{_draw_table(headings, rows) if rows else ''}</div>"


def _draw_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draws a table; columns of numbers are aligned to the right."""
    columns = list(zip(*rows, strict=True))
    sides = ["right" if all(map(_is_number, column)) else "left" for column in columns]
    styles = [_CELL.format(side=side) for side in sides]
    head = "".join(
        f'<th style="{style};border-bottom:{_BORDER}">{_text(heading)}</th>'
        for heading, style in zip(headings, styles, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style}">{_text(cell)}</td>'
            for cell, style in zip(row, styles, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table style="border-collapse:collapse;margin:6px 0"><tr>{head}</tr>{body}</table>'


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+.\d/e]*", text) is not None


def _format(value: Any) -> str:
    return "" if value is None else shorten(format_value(value), MAX_TEXT, "...")


def _last_part(key: str) -> str:
    return key.rpartition(".")[2]


def _text(text: str) -> str:
    """Escapes a text; its control characters are shown as escapes."""
    return escape(to_printable(text))
