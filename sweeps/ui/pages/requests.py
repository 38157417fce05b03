"""Buttons that send requests to a sweep, and the answers, which every page shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from sweeps.results.trial_results import TrialResult
from sweeps.steering.client import submit, wait_for
from sweeps.steering.request import EPOCH, Answer, Request, Verb
from sweeps.steering.sweep_pause import request_pause
from sweeps.storage.location import mirror_of, resolve, store_of
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.formatting import count_of
from sweeps.ui.addresses import compare_path
from sweeps.ui.cached_sweep import STORE_LOCK, CachedSweep, SweepView
from sweeps.ui.site import Site
from trainable.errors import TuneSweepsError

ANSWER_TIMEOUT_S = 15.0
"""How long a click waits for all of its answers; requests without one are withdrawn afterwards."""
MAX_ANSWERS = 5
MAX_SELECTED = 50
"""Trials that one click concerns at most."""
NO_TOKEN = (
    "Only the address with ?token= that `sweep ui` has printed can change a sweep; open that one."
)
BUTTONS: Mapping[Verb, str] = {
    "stop": "Stop",
    "pause": "Pause",
    "resume": "Resume",
    "retry": "Retry",
}
"""Verb -> its button."""
CONFIRMED: Mapping[Verb, str] = {
    "stop": "Stop this trial at the end of its epoch? It keeps what it has trained.",
}
"""Verbs whose button asks first."""


def fits(verb: Verb, record: TrialRecord) -> bool:
    """Returns whether a button is for trials in the state of this one; the sweep decides."""
    match verb:
        case "stop":
            return record.state not in ENDED
        case "pause":
            return record.state not in ENDED and not record.held
        case "resume":
            return record.held
        case "retry":
            return record.state == "failed"
    return False


def answer_area() -> Component:
    """Returns the place where answers appear, on every page."""
    return html.Div(id="answers", role="status")


def answer_card(text: str, *, accepted: bool) -> Component:
    """Returns one answer."""
    kind = "accepted" if accepted else "refused"
    return html.Div(text, className=f"answer {kind}")


def trial_buttons(site: Site, view: SweepView, record: TrialRecord) -> Component:
    """Returns the buttons for one trial; none if the site is read only."""
    if site.read_only:
        return html.Div(className="buttons")
    allowed = site.may_write()
    buttons = [
        _button(
            {"type": "request", "verb": verb, "sweep": view.key, "trial": record.id},
            label,
            CONFIRMED.get(verb),
            title=None if allowed else NO_TOKEN,
            disabled=not allowed or not fits(verb, record),
        )
        for verb, label in BUTTONS.items()
    ]
    return html.Div(buttons, className="buttons")


def toolbar(site: Site, view: SweepView) -> list[Component]:
    """Returns the buttons for the selected trials and for the sweep."""
    compare = dcc.Link("Compare", id="compare-selected", href="", className="button disabled")
    if site.read_only:
        return [compare]
    title = None if site.may_write() else NO_TOKEN
    selected = [
        _button(
            {"type": "selected", "verb": verb, "sweep": view.key},
            label,
            CONFIRMED.get(verb),
            title=title,
            disabled=True,
        )
        for verb, label in BUTTONS.items()
    ]
    is_running = view.sweep.state == "running"
    return [
        html.Div([*selected, compare], className="buttons"),
        html.Span(className="spacer"),
        html.Div(
            [
                html.Button("Add trial", id="add-open", disabled=title is not None, title=title),
                html.Button("Settings", id="set-open", disabled=title is not None, title=title),
                _button(
                    {"type": "sweep", "verb": "pause", "sweep": view.key},
                    "Pause sweep",
                    "Pause the sweep? Running trials finish their epoch first.",
                    title=title,
                    disabled=title is not None or not is_running,
                ),
            ],
            className="buttons",
        ),
    ]


def _button(
    id_: dict[str, str], label: str, question: str | None, *, title: str | None, disabled: bool
) -> Component:
    """Returns a button, which asks the question first if there is one."""
    if question is None:
        return html.Button(label, id=id_, title=title, disabled=disabled)
    inner = html.Button(
        label, id={**id_, "type": f"{id_['type']}-inner"}, title=title, disabled=disabled
    )
    return dcc.ConfirmDialogProvider(
        inner, id={**id_, "type": f"{id_['type']}-sure"}, message=question
    )


# ------------------------------------------------------------------------ sending


def send_requests(
    site: Site,
    key: str,
    verb: Verb,
    trials: Sequence[str | None],
    arguments: Mapping[str, Any] | None = None,
) -> list[tuple[bool, str]]:
    """Sends a request about each trial and waits for the answers.

    Returns:
        (accepted, text) of every answer.
    """
    if not site.may_write():
        return [(False, NO_TOKEN)]
    cached = site.cache.find(key)
    if cached is None:
        return [(False, "There is no such sweep.")]
    is_remote = store_of(cached.directory) is not None
    with STORE_LOCK if is_remote else nullcontext():
        try:
            directory = _steered_directory(cached)
        except TuneSweepsError as error:
            return [(False, str(error))]
        return _send_all(directory, verb, trials, arguments)


def _steered_directory(cached: CachedSweep) -> Path:
    """Returns the directory by which a sweep is steered: in object storage, a mirror of its own.

    A mirror of several sweeps is only for reading.
    """
    mirror, store = mirror_of(cached.directory), store_of(cached.directory)
    if mirror is None or store is None or mirror.directory == cached.directory:
        return cached.directory
    return resolve(store.uri)


def _send_all(
    directory: Path,
    verb: Verb,
    trials: Sequence[str | None],
    arguments: Mapping[str, Any] | None,
) -> list[tuple[bool, str]]:
    sent: list[Request | str] = []
    for trial in trials[:MAX_SELECTED]:
        try:
            sent.append(submit(directory, verb, trial, arguments))
        except (TuneSweepsError, OSError) as error:
            sent.append(str(error))
    until = time.monotonic() + ANSWER_TIMEOUT_S
    answers = [_wait(directory, request, until) for request in sent]
    left = len(trials) - MAX_SELECTED
    if left > 0:
        text = (
            f"A click concerns at most {MAX_SELECTED} trials; {left} more were left as they are."
        )
        answers.append((False, text))
    return answers


def _wait(directory: Path, request: Request | str, until: float) -> tuple[bool, str]:
    """Returns (accepted, text) of the answer to a request, or of the error it has led to."""
    if isinstance(request, str):
        return False, request
    try:
        timeout_s = max(0.0, until - time.monotonic())
        answer = wait_for(directory, request, timeout_s=timeout_s)
    except (TuneSweepsError, OSError) as error:
        return False, str(error)
    return True, _describe(request, answer)


def _describe(request: Request, answer: Answer) -> str:
    """Returns what an accepted request leads to."""
    trial = answer.trial or request.trial or ""
    is_later = EPOCH in answer.values  # others wait, and train no epoch
    match request.verb:
        case "stop" if is_later:
            return f"Trial {trial} stops at the end of its epoch."
        case "stop":
            return f"Trial {trial} is stopped."
        case "pause" if is_later:
            return f"Trial {trial} pauses at the end of its epoch, until it is resumed."
        case "pause":
            return f"Trial {trial} is paused until it is resumed."
        case "resume":
            return f"Trial {trial} goes on when it gets a slot."
        case "retry":
            return f"Trial {trial} is retried from its last checkpoint."
        case "add":
            outside = "; ".join(answer.values.get("outside") or [])
            note = f" The searcher does not learn from it: {outside}." if outside else ""
            return f"Trial {trial} is added.{note}"
        case "set":
            changed = ", ".join(f"{key} = {value}" for key, value in request.arguments.items())
            return f"Set: {changed}"
    return f"{request.verb}: accepted"


def show_answers(answers: Sequence[tuple[bool, str]], before: Any) -> list[Any]:
    """Returns the newest answers, the last one below."""
    cards = [answer_card(text, accepted=accepted) for accepted, text in _summarize(answers)]
    return [*(before if isinstance(before, list) else []), *cards][-MAX_ANSWERS:]


def _summarize(answers: Sequence[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """Returns the answers to one click; of many, refusals and how many others there are."""
    if len(answers) <= MAX_ANSWERS:
        return list(answers)
    refused = [answer for answer in answers if not answer[0]]
    accepted, shown = len(answers) - len(refused), refused[-(MAX_ANSWERS - 2) :]
    more = len(refused) - len(shown)
    return [
        *([(True, f"Accepted: {count_of(accepted, 'request')}.")] if accepted else []),
        *([(False, f"Refused: {count_of(more, 'more request')}.")] if more else []),
        *shown,
    ]


# ------------------------------------------------------------------------ callbacks


def register(app: Dash, site: Site) -> None:
    """Adds the callbacks that change sweeps; a site that is read only has none of them."""
    _register_buttons(app, site)
    _register_selection(app, site)
    _register_sweep(app, site)


def _on_click(
    app: Dash, kind: str, keys: Mapping[str, Any], *states: State
) -> Callable[[Callable[..., Any]], Any]:
    """Returns the decorator of a callback for all buttons of a kind, which adds answers."""
    output = Output("answers", "children", allow_duplicate=True)
    decorated: Callable[[Callable[..., Any]], Any] = app.callback(
        output,
        Input({"type": kind, **keys}, "n_clicks"),
        Input({"type": f"{kind}-sure", **keys}, "submit_n_clicks"),
        State("answers", "children"),
        *states,
        prevent_initial_call=True,
    )
    return decorated


def clicked() -> dict[str, str]:
    """Returns the id of the button that was clicked.

    Raises:
        PreventUpdate: None was: buttons have only appeared.
    """
    if not ctx.triggered_id or not ctx.triggered[0]["value"]:
        raise PreventUpdate
    return {key: str(value) for key, value in dict(ctx.triggered_id).items()}


def _register_buttons(app: Dash, site: Site) -> None:
    @_on_click(app, "request", {"verb": ALL, "sweep": ALL, "trial": ALL})
    def send_for_trial(_: Any, __: Any, before: Any) -> list[Any]:
        button = clicked()
        verb = _verb(button["verb"])
        return show_answers(send_requests(site, button["sweep"], verb, [button["trial"]]), before)


def _register_selection(app: Dash, site: Site) -> None:
    @_on_click(app, "selected", {"verb": ALL, "sweep": ALL}, State("selected-trials", "data"))
    def send_for_selected(_: Any, __: Any, before: Any, selected: Any) -> list[Any]:
        button = clicked()
        verb, key = _verb(button["verb"]), button["sweep"]
        view = site.cache.view(key)
        if view is None:
            raise PreventUpdate
        records = [trial.record for trial in selected_trials(view, selected)]
        trials = [record.id for record in records if fits(verb, record)]
        return show_answers(send_requests(site, key, verb, trials), before)


def _register_sweep(app: Dash, site: Site) -> None:
    @_on_click(app, "sweep", {"verb": ALL, "sweep": ALL})
    def pause_sweep(_: Any, __: Any, before: Any) -> list[Any]:
        return show_answers([_pause(site, clicked()["sweep"])], before)


def _pause(site: Site, key: str) -> tuple[bool, str]:
    if not site.may_write():
        return False, NO_TOKEN
    cached = site.cache.find(key)
    if cached is None:
        return False, "There is no such sweep."
    try:
        if not request_pause(_steered_directory(cached)):
            return False, "No driver runs this sweep."
    except (TuneSweepsError, OSError) as error:
        return False, str(error)
    return True, "The sweep will pause when its running trials have finished their epoch."


def register_toolbar(app: Dash, site: Site) -> None:
    """Adds the callbacks that enable the buttons which fit the selected trials."""

    @app.callback(
        Output("compare-selected", "href"),
        Output("compare-selected", "className"),
        Input("selected-trials", "data"),
        State("sweep-key", "data"),
    )
    def enable_compare(selected: Any, key: str) -> tuple[str, str]:
        view = site.cache.view(str(key))
        trials = [] if view is None else selected_trials(view, selected)
        if len(trials) < 2:
            return "", "button disabled"
        return compare_path(key, [trial.record.id for trial in trials]), "button"

    if site.read_only:
        return

    @app.callback(
        Output({"type": "selected", "verb": ALL, "sweep": ALL}, "disabled"),
        Output({"type": "selected-inner", "verb": ALL, "sweep": ALL}, "disabled"),
        Input("selected-trials", "data"),
        Input("sweep-shown", "data"),
        State("sweep-key", "data"),
    )
    def enable_buttons(selected: Any, _: Any, key: str) -> tuple[list[bool], list[bool]]:
        view = site.cache.view(str(key))
        trials = [] if view is None else selected_trials(view, selected)
        records = [trial.record for trial in trials] if site.may_write() else []
        disabled = {verb: not any(fits(verb, record) for record in records) for verb in BUTTONS}
        plain, asking = (
            [disabled[output["id"]["verb"]] for output in outputs] for outputs in ctx.outputs_list
        )
        return plain, asking


def selected_trials(view: SweepView, selected: Any) -> list[TrialResult]:
    """Returns the trials that are selected in the table; what is no trial is left out.

    Args:
        view: The sweep.
        selected: Their ids, from the browser.
    """
    ids = selected if isinstance(selected, list) else []
    return [view.by_id[id_] for id_ in ids if isinstance(id_, str) and id_ in view.by_id]


def _verb(name: str) -> Verb:
    """Returns the verb of a button.

    Raises:
        PreventUpdate: There is no such button.
    """
    verb = next((verb for verb in BUTTONS if verb == name), None)
    if verb is None:
        raise PreventUpdate
    return verb
