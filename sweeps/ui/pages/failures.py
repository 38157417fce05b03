"""The failures of trials, by cause, with the command that retries them."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from sweeps.report.failure_groups import FailureGroup, group_failures, has_recovered
from sweeps.results.commands import read_commands
from sweeps.sweep_dir.records import Failure
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import count_of, format_time
from sweeps.ui.addresses import trial_path
from sweeps.ui.cache import SweepView
from sweeps.ui.pages.parts import command, plain_text

MAX_TRIALS, MAX_GROUPS = 12, 30
"""Trials that a group links to, and groups of failures."""
TRACEBACK_LINES = 12
"""Last lines of a traceback that are shown."""


def failure_list(view: SweepView) -> list[Component]:
    """Returns the failures of a sweep by cause."""
    groups = group_failures(view.sweep.results)
    parts = [_group(view, group) for group in groups[:MAX_GROUPS]]
    if len(groups) > MAX_GROUPS:
        parts.append(html.P(f"and {count_of(len(groups) - MAX_GROUPS, 'more kind')} of failure"))
    if any(group.failed for group in groups) and view.sweep.state != "running":
        again = read_commands(view.sweep.directory).run_again("retry")
        parts.insert(0, command("Run all failed trials again, from their checkpoints:", again))
    return parts


def _group(view: SweepView, group: FailureGroup) -> Component:
    newest = group.newest
    count = len(group.failures)
    head = [
        html.Span(newest.cause, className="badge state-failed"),
        html.Strong(count_of(count, "failure")),
        html.Span(
            f"last {format_time(newest.time)}, after epoch {newest.epoch}", className="muted"
        ),
    ]
    parts = [html.Div(head, className="title"), plain_text(newest.message), _trials(view, group)]
    parts += traceback_part(newest)
    if group.failed and view.sweep.state == "running":
        first = group.failed[0].record.id
        again = sweep_command("trial", "retry", view.sweep.directory, first, absolute=True)
        parts.append(command("Retry one while the sweep runs:", again))
    return html.Div(parts, className="group")


def _trials(view: SweepView, group: FailureGroup) -> Component:
    trials = group.trials
    links: list[str | Component] = []
    for result in trials[:MAX_TRIALS]:
        trial = result.record.id
        recovered = " (recovered)" if has_recovered(result) else ""
        links += [", " if links else "", dcc.Link(trial, href=trial_path(view.key, trial))]
        links += [recovered] if recovered else []
    more = len(trials) - MAX_TRIALS
    return html.P(["Trials: ", *links, f" and {more} more" if more > 0 else ""])


def traceback_part(failure: Failure) -> list[Component]:
    """Returns the last lines of a failure's traceback, folded; empty if there is none."""
    lines = failure.traceback.rstrip().splitlines()
    if not lines:
        return []
    more = len(lines) - TRACEBACK_LINES
    head = f"... {count_of(more, 'line')} above, see the trial's log\n" if more > 0 else ""
    text = head + "\n".join(lines[-TRACEBACK_LINES:])
    return [html.Details([html.Summary("Traceback"), plain_text(text)])]
