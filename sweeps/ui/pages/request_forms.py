"""Forms that add a trial by hand and that change settings of a running sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from pydantic import BaseModel

from sweeps.results.commands import CODE_KEYS, own_code
from sweeps.results.trial_results import TrialResult
from sweeps.spec.overrides import parse_assignments
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.formatting import format_duration
from sweeps.ui.cache import SweepView
from sweeps.ui.pages.requests import selected_trials, send_requests, show_answers
from sweeps.ui.site import Site
from trainable.config import TrainConfig
from trainable.config.dotted import flatten, set_dotted
from trainable.errors import ConfigError

SETTINGS = ("tune.num_samples", "tune.max_concurrent_trials", "tune.time_budget")
"""Settings that have a field of their own."""
PAGE_KEYS = ("tune.", "failure.", "keep.")
"""Beginnings of the settings that the page changes. Hooks are commands, and trackers name files
and addresses: those are changed in a terminal only."""
MAX_HINT = 60
HIDDEN = "hidden"


def sweep_forms(site: Site) -> list[Component]:
    """Returns the places of the forms, which are filled when they are opened."""
    if site.read_only:
        return []
    add_more = [
        _field("add-from", "start from the weights of trial", hint="id; empty: anew"),
        _area("add-more", "other keys of the training config, KEY=VALUE per line"),
    ]
    set_more = [_area("set-more", "other keys of the search file, KEY=VALUE per line")]
    return [
        dcc.Store(id="add-like"),
        _form("add", "Add trial", add_more),
        _form("set", "Change", set_more),
    ]


def _form(name: str, label: str, more: list[Component]) -> Component:
    """Returns a form that is hidden at first."""
    buttons = [
        html.Button(label, id=f"{name}-send", className="main"),
        html.Button("Cancel", id=f"{name}-close"),
    ]
    return html.Div(
        [
            html.Div(id=f"{name}-fields"),
            html.Div(more, className="fields"),
            html.Div(buttons, className="buttons"),
        ],
        id=f"{name}-form",
        className=HIDDEN,
    )


def add_fields(view: SweepView, like: TrialResult | None) -> list[Component]:
    """Returns the fields of a new trial.

    Args:
        view: The sweep.
        like: The trial whose values the fields begin with.
    """
    title = "New trial" if like is None else f"New trial like {like.record.id}"
    values = {} if like is None else like.values
    space: Mapping[str, Any] = view.sweep.search["space"]
    keys = list(dict.fromkeys([*space, *values]))
    fields = [
        _field(
            {"type": "add-value", "key": key},
            key,
            value=_text(values[key]) if key in values else "",
            hint=_hint(space.get(key)),
        )
        for key in keys
    ]
    default = "the training config's value, or follows from others"
    if like is not None:
        default = f"the value of {like.record.id}"
    hint = f"A key that is left empty has {default}."
    return [
        html.H2(title),
        html.Div(hint, className="muted"),
        html.Div(fields, className="fields"),
    ]


def set_fields(view: SweepView) -> list[Component]:
    """Returns the fields of the settings that may change while the sweep runs."""
    tune = view.sweep.search["tune"]
    fields = []
    for key in SETTINGS:
        now = tune.get(key.removeprefix("tune."))
        if key == "tune.time_budget" and isinstance(now, int | float):
            now = format_duration(now)
        fields.append(_field({"type": "set-value", "key": key}, key, hint=f"now {_text(now)}"))
    return [html.H2("Settings"), html.Div(fields, className="fields")]


def _field(id_: Any, label: str, *, value: str = "", hint: str = "") -> Component:
    text = dcc.Input(
        id=id_, type="text", value=value, placeholder=hint, debounce=False, autoComplete="off"
    )
    return html.Label([html.Span(label, className="label"), text])


def _area(id_: str, label: str) -> Component:
    return html.Label([html.Span(label, className="label"), dcc.Textarea(id=id_, value="")])


def _text(value: Any) -> str:
    """Returns a value as it can be typed."""
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _hint(parameter: Any) -> str:
    """Returns what a key of the space may be, in short."""
    text = "" if parameter is None else json.dumps(parameter, default=str)
    text = text.replace('"', "").strip("{}")
    return text if len(text) <= MAX_HINT else f"{text[: MAX_HINT - 3]}..."


def _prefilled(site: Site, key: str, like: Any) -> dict[str, str]:
    """Returns the texts with which the fields of a trial like another one begin.

    A field that is left as it was is not sent: its key may follow from another one.
    """
    view = site.cache.view(key)
    source = None if view is None or like is None else view.by_id.get(str(like))
    return {} if source is None else {k: _text(v) for k, v in source.values.items()}


def read_fields(
    ids: Sequence[Mapping[str, Any]], values: Sequence[Any], more: Any, model: type[BaseModel]
) -> dict[str, Any]:
    """Reads the fields of a form as the values of `--set` are read.

    Args:
        ids: The ids of fields, each with its key.
        values: Their texts; empty ones are left out.
        more: Further lines KEY=VALUE.
        model: The file that the keys belong to.

    Raises:
        ConfigError: A text cannot be read.
    """
    texts = [
        f"{id_['key']}={value}"
        for id_, value in zip(ids, values, strict=True)
        if str(value or "").strip()
    ]
    texts += [line.strip() for line in str(more or "").splitlines() if line.strip()]
    return parse_assignments(texts, model)


def list_new_code(search: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Lists the keys of a training config whose value is own code that a sweep does not have.

    Args:
        search: The plain values of the sweep's search file.
        given: The values of the form by key.
    """
    present = set(own_code(search))
    new = []
    for key, value in flatten(given).items():
        config: dict[str, Any] = {}
        set_dotted(config, key, value)
        has_code = key in CODE_KEYS or key.partition(".")[0] in {"dataset", "metrics"}
        if has_code and not present.issuperset(own_code({"config": config})):
            new.append(key)
    return new


def register(app: Dash, site: Site) -> None:
    """Adds the callbacks of the forms; a site that is read only has none of them."""
    _register_opening(app, site)
    _register_add(app, site)
    _register_set(app, site)


def _register_opening(app: Dash, site: Site) -> None:
    @app.callback(
        Output("add-fields", "children"),
        Output("add-form", "className"),
        Output("add-like", "data"),
        Input("add-open", "n_clicks"),
        Input("add-close", "n_clicks"),
        State("sweep-key", "data"),
        State("selected-trials", "data"),
        prevent_initial_call=True,
    )
    def open_add(_: Any, __: Any, key: str, selected: Any) -> tuple[Any, str, Any]:
        view = site.cache.view(str(key))
        if view is None or not ctx.triggered[0]["value"]:
            raise PreventUpdate
        if ctx.triggered_id == "add-close":
            return no_update, HIDDEN, None
        like = next(iter(selected_trials(view, selected)), None)
        return add_fields(view, like), "form", None if like is None else like.record.id

    @app.callback(
        Output("set-fields", "children"),
        Output("set-form", "className"),
        Input("set-open", "n_clicks"),
        Input("set-close", "n_clicks"),
        State("sweep-key", "data"),
        prevent_initial_call=True,
    )
    def open_set(_: Any, __: Any, key: str) -> tuple[Any, str]:
        view = site.cache.view(str(key))
        if view is None or not ctx.triggered[0]["value"]:
            raise PreventUpdate
        return (
            (no_update, HIDDEN) if ctx.triggered_id == "set-close" else (set_fields(view), "form")
        )


def _register_add(app: Dash, site: Site) -> None:
    @app.callback(
        Output("answers", "children", allow_duplicate=True),
        Output("add-form", "className", allow_duplicate=True),
        Input("add-send", "n_clicks"),
        State("answers", "children"),
        State("sweep-key", "data"),
        State("add-like", "data"),
        State("add-from", "value"),
        State({"type": "add-value", "key": ALL}, "value"),
        State("add-more", "value"),
        running=[(Output("add-send", "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def add(
        clicks: Any, before: Any, key: str, like: Any, source: Any, values: list[Any], more: Any
    ) -> tuple[Any, Any]:
        if not clicks:
            raise PreventUpdate
        ids = [state["id"] for state in ctx.states_list[4]]
        prefilled = _prefilled(site, str(key), like)
        values = [
            "" if value == prefilled.get(id_["key"]) else value
            for id_, value in zip(ids, values, strict=True)
        ]
        try:
            given = read_fields(ids, values, more, TrainConfig)
        except ConfigError as error:
            return show_answers([(False, str(error))], before), no_update
        view = site.cache.view(str(key))
        if view is not None and (new := list_new_code(view.sweep.search, given)):
            text = (
                f"{', '.join(new)}: code that the sweep does not have is named in a terminal "
                "only, with sweep trial add"
            )
            return show_answers([(False, text)], before), no_update
        arguments: dict[str, Any] = {"set": given}
        if like:
            arguments["like"] = str(like)
        if str(source or "").strip():
            arguments["from"] = str(source).strip()
        answers = send_requests(site, str(key), "add", [None], arguments)
        return show_answers(answers, before), HIDDEN if answers[0][0] else no_update


def _register_set(app: Dash, site: Site) -> None:
    @app.callback(
        Output("answers", "children", allow_duplicate=True),
        Output("set-form", "className", allow_duplicate=True),
        Input("set-send", "n_clicks"),
        State("answers", "children"),
        State("sweep-key", "data"),
        State({"type": "set-value", "key": ALL}, "value"),
        State("set-more", "value"),
        running=[(Output("set-send", "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def change(
        clicks: Any, before: Any, key: str, values: list[Any], more: Any
    ) -> tuple[Any, Any]:
        if not clicks:
            raise PreventUpdate
        ids = [state["id"] for state in ctx.states_list[2]]
        try:
            given = read_fields(ids, values, more, SearchSpec)
        except ConfigError as error:
            return show_answers([(False, str(error))], before), no_update
        if not given:
            return show_answers([(False, "Nothing is filled in.")], before), no_update
        if refused := [name for name in flatten(given) if not name.startswith(PAGE_KEYS)]:
            text = f"{', '.join(refused)}: changed in a terminal only, with sweep set"
            return show_answers([(False, text)], before), no_update
        answers = send_requests(site, str(key), "set", [None], given)
        return show_answers(answers, before), HIDDEN if answers[0][0] else no_update
