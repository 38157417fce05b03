"""Builds the Dash app of `sweep ui`: one page whose content follows the address."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component
from flask import Flask

from sweeps.ui.cache import SweepCache
from sweeps.ui.pages import (
    compare,
    request_forms,
    requests,
    routing,
    sweep,
    sweep_charts,
    sweep_list,
    trial,
)
from sweeps.ui.pages.parts import problem_page
from sweeps.ui.protection import Guard
from sweeps.ui.site import Site
from trainable.errors import TuneSweepsError, summarize_exception

LOGGER = logging.getLogger(__name__)

PAGES = (sweep_list, sweep, sweep_charts, trial, compare)
"""Modules whose callbacks only read."""
CHANGING = (requests, request_forms)
"""Modules whose callbacks change sweeps."""


def build_app(roots: Sequence[Path], guard: Guard, *, read_only: bool = False) -> Dash:
    """Builds the app.

    Args:
        roots: The directories whose sweeps it shows.
        guard: Decides which HTTP requests are answered.
        read_only: Whether no requests can be sent to sweeps.
    """
    site = Site(SweepCache(roots), guard, read_only)
    server = Flask("sweeps.ui", static_folder=None)
    # Brotli takes ten times the processor time of gzip, for a page that changes every two seconds.
    server.config.update(COMPRESS_ALGORITHM=["gzip"], COMPRESS_LEVEL=3)
    app = Dash(
        "sweeps.ui",
        server=server,  # type: ignore[arg-type]  # Flask's apps are accepted and not declared
        assets_folder=str(Path(__file__).parent / "assets"),
        title="tune-sweeps",
        update_title="",
        suppress_callback_exceptions=True,
        compress=True,
        csrf_token_name=guard.csrf_cookie,
        csrf_header_name=guard.csrf_header,
        enable_mcp=False,
        on_error=_log_error,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
    )
    app.layout = _frame(site)
    _register_routing(app, site)
    for module in PAGES if read_only else (*PAGES, *CHANGING):
        module.register(app, site)
    guard.protect(server, app.csp_hashes())
    return app


def _log_error(error: Exception) -> None:
    """Logs why a callback has failed; what it would have changed stays as it is."""
    LOGGER.error("a page of sweep ui cannot be brought up to date", exc_info=error)


def _show_error(error: Exception) -> Component:
    """Returns the page in place of one that cannot be built."""
    _log_error(error)
    return problem_page(summarize_exception(error))


def _frame(site: Site) -> Component:
    """Returns what surrounds every page."""
    mode: list[Any] = [html.Span("read only", className="muted")] if site.read_only else []
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            # Here and not on the page of a sweep, whose buttons ask for it as the page is left.
            dcc.Store(id="selected-trials"),
            html.Header([dcc.Link("tune-sweeps", href="/", className="brand"), *mode]),
            html.Main(id="page"),
            *([] if site.read_only else [requests.answer_area()]),
        ]
    )


def _register_routing(app: Dash, site: Site) -> None:
    @app.callback(
        Output("page", "children"),
        Input("url", "pathname"),
        Input("url", "search"),
        on_error=_show_error,
    )
    def show(path: str | None, query: str | None) -> Component:
        try:
            return routing.layout(site, path or "/", query or "")
        except TuneSweepsError as error:
            return problem_page(str(error))
