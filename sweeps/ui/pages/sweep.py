"""The page of one sweep: how far it is, its trials, its charts, and what can be requested."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from sweeps.results.status import elapsed_s
from sweeps.sweep_dir.records import describe_state
from sweeps.terminal.formatting import count_of, format_duration, format_time
from sweeps.ui.addresses import trial_path
from sweeps.ui.cache import SweepView
from sweeps.ui.pages import request_forms, requests, sweep_charts, trial_table
from sweeps.ui.pages.parts import fact, notes, place_of, state_badge
from sweeps.ui.site import TICK_MS, Site

STATES = ("finished", "stopped", "failed", "running", "paused", "pending")
"""States of trials in the order of the progress bar."""
MAX_NOTES = 6


def layout(site: Site, view: SweepView) -> Component:
    """Returns the page; its charts come later, so that the table is there at once."""
    return html.Div(
        [
            dcc.Store(id="sweep-key", data=view.key),
            dcc.Store(id="sweep-shown", data=_shown(view)),
            dcc.Store(id="sweep-changes"),
            dcc.Interval(id="sweep-tick", interval=TICK_MS),
            html.Div([dcc.Link("All sweeps", href="/"), " / ", view.key], className="crumbs"),
            html.Div(head(view), id="sweep-head", className="panel"),
            *request_forms.sweep_forms(site),
            html.Div(
                [
                    html.Div(
                        [html.H2("Trials"), *requests.toolbar(site, view)], className="toolbar"
                    ),
                    trial_table.trial_grid(view),
                ],
                className="panel",
            ),
            html.Div(sweep_charts.layout(site, view), id="sweep-charts"),
        ]
    )


def head(view: SweepView) -> list[Component]:
    """Returns how far a sweep is."""
    sweep, status = view.sweep, view.status
    state = describe_state(sweep.state, sweep.record.reason)
    facts = [
        fact("trials ended", f"{status['ended']} of {status['total']}"),
        fact(f"{sweep.best_label}, {sweep.metric}", _best(view)),
        fact("epochs trained", _epochs(status)),
        fact("started", format_time(sweep.record.started)[:16]),
        fact("running time", format_duration(elapsed_s(sweep))),
    ]
    if status["left_s"] is not None:
        facts.append(fact("time left", _left(*status["left_s"])))
    return [
        html.Div(
            [
                html.H1(sweep.record.name),
                state_badge(sweep.state, state),
                html.Span(place_of(sweep.directory), className="muted value"),
            ],
            className="title",
        ),
        _bar(Counter(status["trials"]), int(status["total"])),
        html.Div(facts, className="facts"),
        notes(_problems(view)),
    ]


def _best(view: SweepView) -> Any:
    best = view.status["best"]
    if best is None:
        return "-"
    trial = str(best["trial"])
    link = dcc.Link(trial, href=trial_path(view.key, trial))
    return [f"{best['value']:.4f} by ", link, f" at epoch {best['epoch']}"]


def _epochs(status: dict[str, Any]) -> str:
    saved = f", {status['saved_epochs']} saved by early stopping" if status["saved_epochs"] else ""
    return f"{status['epochs']}{saved}"


def _left(least: float, most: float) -> str:
    times = dict.fromkeys(map(format_duration, (least, most)))
    return " to ".join(times)


def _bar(counts: Counter[str], total: int) -> Component:
    """Returns the trials by state: a bar, and its legend in words."""
    counts["pending"] += max(0, total - counts.total())
    present = [state for state in STATES if counts[state]]
    parts = [
        html.Div(
            className=f"state-{state}",
            style={"width": f"{100 * counts[state] / max(1, counts.total()):.3f}%"},
        )
        for state in present
        if state != "pending"
    ]
    words = {"pending": "not started"}
    legend = [
        html.Span(f"{counts[state]} {words.get(state, state)}", className=f"state-{state}")
        for state in present
    ]
    return html.Div([html.Div(parts, className="bar"), html.Div(legend, className="legend")])


def _problems(view: SweepView) -> list[str]:
    """Lists what is wrong with a sweep."""
    texts = [view.problem, view.status["stalled"], *view.status["damage"]]
    present = [text for text in texts if text]
    more = len(present) - MAX_NOTES
    return [*present[:MAX_NOTES], *([f"and {count_of(more, 'more note')}"] if more > 0 else [])]


def _shown(view: SweepView) -> dict[str, Any]:
    """Returns what a browser has to send back for the next changes."""
    best = view.sweep.best
    return {"version": view.version, "best": None if best is None else best.record.id}


def register(app: Dash, site: Site) -> None:
    """Adds the callbacks that bring the head, the table and its buttons up to date."""
    requests.register_toolbar(app, site)

    @app.callback(
        Output("sweep-head", "children"),
        Output("sweep-changes", "data"),
        Output("trials", "rowData"),
        Output("trials", "columnDefs"),
        Output("sweep-shown", "data"),
        Input("sweep-tick", "n_intervals"),
        State("sweep-key", "data"),
        State("sweep-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(_: int, key: str, shown: dict[str, Any]) -> tuple[Any, ...]:
        view = site.cache.view(str(key))
        if view is None:
            gone = notes(["The directory of this sweep is gone."])
            return gone, no_update, no_update, no_update, no_update
        since = int(shown["version"])
        if view.version == since:
            if view.sweep.state != "running":
                raise PreventUpdate
            return head(view), no_update, no_update, no_update, no_update
        changes = trial_table.changes(view, since, shown.get("best"))
        if changes is not None:
            changes["shown"] = _shown(view)
            return head(view), changes, no_update, no_update, no_update
        replaced = trial_table.rows(view, view.sweep.results)
        return head(view), no_update, replaced, trial_table.columns(view.sweep), _shown(view)

    app.clientside_callback(
        ClientsideFunction("trialTable", "applyChanges"),
        Output("sweep-shown", "data", allow_duplicate=True),
        Input("sweep-changes", "data"),
        prevent_initial_call=True,
    )
