"""The page of one trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from sweeps.report.data.trials import describe_end, seconds_of
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.formatting import format_duration, format_metric, format_time
from sweeps.ui.addresses import sweep_path, trial_path
from sweeps.ui.cache import SweepView
from sweeps.ui.figures.trial_curves import trial_curves
from sweeps.ui.log_tail import log_stamp, read_tail
from sweeps.ui.pages import requests
from sweeps.ui.pages.parts import fact, graph, missing_page, notes, plain_text, state_badge
from sweeps.ui.pages.trial_details import (
    checkpoint_table,
    class_parts,
    command_list,
    config_parts,
    failure_parts,
)
from sweeps.ui.site import TICK_MS, Site
from sweeps.ui.trial_files import describe_foreign

CURVE_HEIGHT = 300


def layout(site: Site, view: SweepView, trial_id: str) -> Component:
    """Returns the page; its curves come later, so that the text is there at once."""
    result = view.by_id.get(trial_id)
    if result is None:
        return missing_page("There is no such trial.")
    if foreign := describe_foreign(result.directory):
        return missing_page(foreign)
    crumbs: list[Any] = [
        dcc.Link("All sweeps", href="/"),
        " / ",
        dcc.Link(view.key, href=sweep_path(view.key)),
        f" / {trial_id}",
    ]
    return html.Div(
        [
            dcc.Store(id="sweep-key", data=view.key),
            dcc.Store(id="trial-id", data=trial_id),
            dcc.Store(id="trial-shown", data={"stamp": _stamp(view, result), "curves": []}),
            dcc.Interval(id="trial-tick", interval=TICK_MS),
            dcc.Interval(id="trial-start", interval=1, max_intervals=1),
            html.Div(crumbs, className="crumbs"),
            html.Div(_head(site, view, result), id="trial-head", className="panel"),
            html.Div(id="trial-curves", className="curves"),
            html.Div(_details(view, result), id="trial-details", className="columns"),
            _panel(
                "Log", html.Div(plain_text(read_tail(result.directory)), id="trial-log"), "log"
            ),
        ]
    )


def _panel(title: str, content: Any, class_name: str = "") -> Component:
    return html.Div([html.H2(title), content], className=f"panel {class_name}".strip())


def _stamp(view: SweepView, result: TrialResult) -> list[Any]:
    """Returns what changes when the page does; as JSON, like what the browser sends back."""
    state = view.sweep.state
    return [view.changed[result.record.id], state, log_stamp(result.directory)]


def _head(site: Site, view: SweepView, result: TrialResult) -> list[Component]:
    sweep, record = view.sweep, result.record
    title = [
        html.H1(f"Trial {record.id}"),
        state_badge(record.state),
        html.Span(describe_end(sweep, result), className="muted"),
    ]
    buttons = html.Div(requests.trial_buttons(site, view, record), className="toolbar")
    problems = [text for text in (result.damage, result.config_damage) if text]
    return [
        html.Div(title, className="title"),
        html.Div(_facts(sweep, result), className="facts"),
        *([notes(problems)] if problems else []),
        *_origin(view, result),
        buttons,
        *failure_parts(result),
    ]


def _facts(sweep: LoadedSweep, result: TrialResult) -> list[Component]:
    record, metric = result.record, sweep.metric
    best = "-"
    if result.best is not None:
        best = f"{format_metric(result.best, metric)} at epoch {result.best['epoch']}"
    epoch = 0 if result.last is None else result.last["epoch"]
    rank = sweep.results.index(result) + 1
    facts = {
        f"best {metric}": best,
        f"last {metric}": format_metric(result.last, metric),
        "epochs": f"{epoch} of {sweep.epochs(record)}",
        "rank": f"{rank} of {len(sweep.results)}" if result.best is not None else "-",
        "number": record.number,
        "started": "-" if record.started is None else format_time(record.started)[:16],
        "ended": "-" if record.ended is None else format_time(record.ended)[:16],
        "took": _duration(result),
    }
    if record.configuration is not None:
        repeat = f", repeat {record.repeat}" if record.repeat else ""
        facts["configuration"] = f"{record.configuration}{repeat}{', final' * record.final}"
    return [fact(label, value) for label, value in facts.items()]


def _duration(result: TrialResult) -> str:
    seconds = seconds_of(result)
    return "-" if seconds is None else format_duration(seconds)


def _origin(view: SweepView, result: TrialResult) -> list[Component]:
    """Returns links to the trials whose state it has copied, and to those of its configuration."""
    record = result.record
    by_directory = {other.record.directory: other for other in view.sweep.results}
    parts: list[Any] = []
    for step in record.lineage:
        donor = by_directory.get(step["donor"])
        shown = _link(view, donor) if donor is not None else step["donor"]
        parts += [", " if parts else "Copied ", shown, f" after epoch {step['epoch']}"]
    lines: list[Component] = [html.P(parts)] if parts else []
    weights = record.weights
    if weights is not None:
        source = view.by_id.get(weights.trial)
        shown = weights.trial if source is None else _link(view, source)
        lines.append(html.P(["Started from the weights of ", shown, f", epoch {weights.epoch}"]))
    if record.configuration is not None:
        siblings = [
            other
            for other in view.sweep.results
            if other is not result and other.record.configuration_id == record.configuration_id
        ]
        links = [part for other in siblings for part in (", ", _link(view, other))]
        lines += [html.P(["Same configuration: ", *links[1:]])] if siblings else []
    return lines


def _link(view: SweepView, result: TrialResult) -> Component:
    return dcc.Link(result.record.id, href=trial_path(view.key, result.record.id))


def _details(view: SweepView, result: TrialResult) -> list[Component]:
    parts: Mapping[str, Sequence[Component]] = {
        "Values": config_parts(view.sweep, result),
        "Classes": class_parts(result),
        "Checkpoints": checkpoint_table(result),
        "Commands": command_list(view.sweep, result),
    }
    return [_panel(title, html.Div(list(part))) for title, part in parts.items() if part]


def _curves(result: TrialResult) -> list[Component]:
    figures = trial_curves(result)
    if not figures:
        return [html.P("The trial has not completed an epoch.", className="panel muted")]
    return [
        html.Div(
            [html.H2(title), graph("trial-curve", title, with_height(figure))], className="panel"
        )
        for title, figure in figures.items()
    ]


def with_height(figure: dict[str, Any]) -> dict[str, Any]:
    """Returns a figure of a small chart."""
    return {**figure, "layout": {**figure["layout"], "height": CURVE_HEIGHT}}


def register(app: Dash, site: Site) -> None:
    """Adds the callback that brings the page up to date."""

    @app.callback(
        output={
            "head": Output("trial-head", "children"),
            "curves": Output("trial-curves", "children"),
            "figures": Output({"type": "trial-curve", "tab": ALL}, "figure"),
            "details": Output("trial-details", "children"),
            "log": Output("trial-log", "children"),
            "shown": Output("trial-shown", "data"),
        },
        inputs=[Input("trial-tick", "n_intervals"), Input("trial-start", "n_intervals")],
        state=[
            State("sweep-key", "data"),
            State("trial-id", "data"),
            State("trial-shown", "data"),
        ],
        prevent_initial_call=True,
    )
    def refresh(
        tick: Any, start: Any, key: str, trial_id: str, shown: Mapping[str, Any]
    ) -> dict[str, Any]:
        del tick, start
        view = site.cache.view(str(key))
        result = None if view is None else view.by_id.get(trial_id)
        if view is None or result is None:
            raise PreventUpdate
        stamp = _stamp(view, result)
        if stamp == shown["stamp"] and shown["curves"]:
            raise PreventUpdate
        is_changed = stamp[:2] != shown["stamp"][:2]
        figures = trial_curves(result)
        ids = [output["id"]["tab"] for output in ctx.outputs_grouping["figures"]]
        are_there = ids == list(figures)
        log = plain_text(read_tail(result.directory))
        return {
            "head": _head(site, view, result) if is_changed else no_update,
            "curves": no_update if are_there and figures else _curves(result),
            "figures": [with_height(figure) for figure in figures.values()]
            if are_there
            else [no_update] * len(ids),
            "details": _details(view, result) if is_changed else no_update,
            "log": log if stamp[2] != shown["stamp"][2] else no_update,
            "shown": {"stamp": stamp, "curves": list(figures) or ["none"]},
        }
