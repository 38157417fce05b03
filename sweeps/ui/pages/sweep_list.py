"""The page of all sweeps, which are read one after the other while the page is open already."""

from __future__ import annotations

import time
from typing import Any

import dash_ag_grid as dag
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from sweeps.results.status import elapsed_s
from sweeps.sweep_dir.records import describe_state
from sweeps.ui.addresses import sweep_path
from sweeps.ui.cache import CachedSweep, SweepView
from sweeps.ui.pages.parts import notes, place_of
from sweeps.ui.site import TICK_MS, Site
from trainable.errors import TuneSweepsError

READING_S = 0.3
"""Seconds that one answer spends on sweeps that are read for the first time, or once more."""
Row = dict[str, Any]


def layout(site: Site) -> Component:
    """Returns the page."""
    rows = list_rows(site)
    return html.Div(
        [
            dcc.Interval(id="list-tick", interval=TICK_MS),
            dcc.Store(id="list-shown", data=_identity(rows)),
            html.Div([html.H1("Sweeps"), _where(site)], className="title panel"),
            dag.AgGrid(
                id="sweeps",
                className="grid",
                columnDefs=_columns(),
                rowData=rows,
                getRowId="params.data.key",
                defaultColDef={
                    "sortable": True,
                    "filter": True,
                    "resizable": True,
                    "suppressHeaderMenuButton": True,
                },
                dashGridOptions={
                    "theme": {"function": "quietTheme(themeQuartz)"},
                    "domLayout": "autoHeight",
                    "animateRows": False,
                    "enableCellTextSelection": True,
                },
                style={"height": None},
            ),
            html.Div(_problems(rows), id="list-problems"),
        ]
    )


def _where(site: Site) -> Component:
    roots = [place_of(root.absolute()) for root in site.cache.roots]
    return html.Span(f"below {', '.join(roots)}", className="muted value")


def _columns() -> list[dict[str, Any]]:
    def column(field: str, name: str, width: int, **options: Any) -> dict[str, Any]:
        return {"field": field, "headerName": name, "width": width, **options}

    def formatted(name: str) -> dict[str, Any]:
        return {
            "valueFormatter": {"function": f"{name}(params.value)"},
            "type": "rightAligned",
            "comparator": {"function": "compareNumbers"},
        }

    return [
        column("key", "sweep", 240, pinned="left", cellRenderer="PageLink"),
        column("state", "state", 150, cellRenderer="State"),
        column("best", "best", 96, **formatted("formatMetric")),
        column("metric", "metric", 110),
        column("ended", "ended", 88, **formatted("formatNumber")),
        column("total", "of", 80, **formatted("formatNumber")),
        column("running", "running", 92, **formatted("formatNumber")),
        column("failed", "failed", 84, **formatted("formatNumber")),
        column("elapsed", "running time", 120, **formatted("formatDuration")),
        column("left", "time left", 110, **formatted("formatDuration")),
        column(
            "started",
            "started",
            150,
            sort="desc",
            valueFormatter={"function": "formatTime(params.value)"},
        ),
        column("trial", "best trial", 110),
    ]


def list_rows(site: Site) -> list[Row]:
    """Returns a row for every sweep; those that were not read yet have only their names."""
    until = time.monotonic() + READING_S
    return [_row(cached, until) for cached in site.cache.sweeps()]


def _row(cached: CachedSweep, until: float) -> Row:
    row: Row = {"key": cached.key, "href": sweep_path(cached.key)}
    is_late = time.monotonic() > until
    if not cached.is_read and is_late:
        return row | {"state": "reading"}
    try:
        return row | cached.summarize(_values, may_be_old=is_late)
    except (TuneSweepsError, OSError) as error:
        return row | {"state": "broken", "problem": f"{cached.key}: {error}"}


def _values(view: SweepView) -> Row:
    sweep, status = view.sweep, view.status
    best, left_s = status["best"] or {}, status["left_s"]
    problems = [view.problem, *status["damage"]]
    present = [problem for problem in problems if problem]
    more = f" (and {len(present) - 1} more)" if len(present) > 1 else ""
    return {
        "state": describe_state(sweep.state, sweep.record.reason),
        "metric": sweep.metric,
        "best": best.get("value"),
        "trial": best.get("trial"),
        "ended": status["ended"],
        "total": status["total"],
        "running": status["trials"].get("running", 0),
        "failed": status["trials"].get("failed", 0),
        "elapsed": elapsed_s(sweep),
        "left": None if left_s is None else left_s[1],
        "started": sweep.record.started,
        "problem": f"{view.key}: {present[0]}{more}" if present else None,
    }


def _problems(rows: list[Row]) -> Component:
    texts = [row["problem"] for row in rows if row.get("problem")]
    if not rows:
        texts = ["There is no sweep here yet. Start one with `sweep run FILE`."]
    return notes(texts)


def _identity(rows: list[Row]) -> dict[str, Row]:
    return {row["key"]: row for row in rows}


def register(app: Dash, site: Site) -> None:
    """Adds the callback that brings the list up to date."""

    @app.callback(
        Output("sweeps", "rowTransaction"),
        Output("list-problems", "children"),
        Output("list-shown", "data"),
        Input("list-tick", "n_intervals"),
        State("list-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(_: int, shown: dict[str, Row]) -> tuple[Any, Any, Any]:
        rows = list_rows(site)
        now = _identity(rows)
        if now == shown:
            return no_update, no_update, no_update
        transaction = {
            "add": [row for key, row in now.items() if key not in shown],
            "update": [row for key, row in now.items() if key in shown and row != shown[key]],
            "remove": [row for key, row in shown.items() if key not in now],
        }
        return transaction, _problems(rows), now
