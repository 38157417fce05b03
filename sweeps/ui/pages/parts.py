"""Parts that several pages have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from sweeps.terminal.console import uri_of
from trainable.experiment.console import escape_controls

GRAPH_CONFIG: Any = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}
HEIGHT = 440
"""Pixels of a graph whose figure has no height of its own."""


def place_of(directory: Path) -> str:
    """Returns a directory as its address in object storage, or as a short path."""
    uri = uri_of(directory)
    if uri is not None:
        return uri
    is_below = directory.is_relative_to(Path.cwd())
    return str(directory.relative_to(Path.cwd()) if is_below else directory)


def missing_page(text: str) -> Component:
    """Returns a page that says why there is nothing to see."""
    return html.Div([html.H1(text), dcc.Link("All sweeps", href="/")], className="panel")


def problem_page(text: str) -> Component:
    """Returns the page of a sweep that cannot be read."""
    return html.Div(
        [html.H1("This sweep cannot be read"), notes([text]), dcc.Link("All sweeps", href="/")],
        className="panel",
    )


def state_badge(state: str, text: str | None = None) -> Component:
    """Returns a state as a coloured word.

    Args:
        state: The state of a sweep or a trial.
        text: The words, if they say more than the state.
    """
    return html.Span(text or state, className=f"badge state-{state}")


def fact(label: str, value: Any) -> Component:
    """Returns a value with its label above."""
    return html.Div([html.Span(label, className="label"), html.Span(value, className="value")])


def notes(texts: Sequence[str]) -> Component:
    """Returns sentences about what is wrong; empty if there are none."""
    return html.Div([html.P(text) for text in texts], className="notes" if texts else "")


def plain_text(text: str) -> Component:
    """Returns text of unknown origin, such as a log, with its line breaks and without colours."""
    return html.Pre(escape_controls(text), className="text")


def command(label: str, text: str) -> Component:
    """Returns a command to type, with a button that copies it."""
    copy = dcc.Clipboard(content=text, title="Copy", className="copy")
    line = html.Div([html.Code(text), copy], className="command")
    return html.Div([html.Span(label, className="label"), line])


def table(head: Sequence[Any], rows: Sequence[Sequence[Any]], class_name: str = "") -> Component:
    """Returns a plain table that scrolls to the side if it is too wide."""
    body = [html.Tr([html.Td(cell) for cell in row]) for row in rows]
    parts = [html.Thead(html.Tr([html.Th(cell) for cell in head])), html.Tbody(body)]
    return html.Div(html.Table(parts, className=class_name), className="scrolled")


def graph(kind: str, name: str, figure: dict[str, Any]) -> dcc.Graph:
    """Returns a graph whose id is `{"type": kind, "tab": name}`."""
    height = figure["layout"].get("height", HEIGHT)
    style = {"height": f"{height}px"}
    return dcc.Graph({"type": kind, "tab": name}, figure=figure, config=GRAPH_CONFIG, style=style)
