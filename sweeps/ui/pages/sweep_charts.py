"""The charts of a sweep, each in a tab; only the open one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from sweeps.report.failure_groups import failures_note
from sweeps.report.importance import MIN_TRIALS, ended_trials
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.ui.cache import SweepView
from sweeps.ui.figures.base import Chart
from sweeps.ui.figures.best_so_far import ORDERS, best_so_far
from sweeps.ui.figures.coordinates import (
    Axis,
    add_brush,
    build_axes,
    parallel_coordinates,
    selected_trials,
)
from sweeps.ui.figures.curves import learning_curves, list_metrics
from sweeps.ui.figures.importance import ImportanceCache, importance_chart
from sweeps.ui.figures.population import changing_keys, values_by_epoch
from sweeps.ui.figures.repeats import repeats_chart
from sweeps.ui.pages.failures import failure_list
from sweeps.ui.pages.parts import graph
from sweeps.ui.site import Site

POPULATION_SCHEDULERS = ("pbt", "pb2")


@dataclass(frozen=True)
class ChartOptions:
    """The user's choices for the charts."""

    metric: str | None = None
    """The metric of the learning curves; None means the one that ranks trials."""
    order: str = "trials"
    """See `ORDERS`."""
    key: str | None = None
    """The key whose values are drawn by epoch; None means the first one."""
    selected: Sequence[str] = ()
    """Ids of the trials that are selected in the table."""
    brushes: Mapping[str, Any] = field(default_factory=dict)
    """Key of an axis of the parallel coordinates -> ranges that are selected from the start."""


@dataclass(frozen=True)
class Drawing:
    """A tab as it is to be shown."""

    chart: Chart
    content: Sequence[Component] = ()
    """Components in place of a figure."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """Sent back by the browser with a change: axes, and whether something is computed."""


STORES = ("brushed", "shown", "brushes", "clicked")
Draw = Callable[[SweepView, ChartOptions], Drawing]


def _draw_curves(view: SweepView, options: ChartOptions) -> Drawing:
    metric = options.metric or view.sweep.metric
    return Drawing(learning_curves(view.sweep, metric, frozenset(options.selected)))


def _draw_best(view: SweepView, options: ChartOptions) -> Drawing:
    order = options.order if options.order in ORDERS else "trials"
    return Drawing(best_so_far(view.sweep, order))


def _draw_coordinates(view: SweepView, options: ChartOptions) -> Drawing:
    axes = build_axes(view.sweep)
    shown = {"axes": [axis.to_json() for axis in axes], "brushes": options.brushes}
    return Drawing(parallel_coordinates(view.sweep, axes, options.brushes), shown=shown)


def _draw_failures(view: SweepView, options: ChartOptions) -> Drawing:
    del options
    return Drawing(Chart(failures_note(view.sweep)), failure_list(view))


def _draw_repeats(view: SweepView, options: ChartOptions) -> Drawing:
    del options
    return Drawing(repeats_chart(view.sweep))


def _draw_population(view: SweepView, options: ChartOptions) -> Drawing:
    keys = changing_keys(view.sweep)
    if not keys:
        return Drawing(Chart("No trial has copied another one with changed values yet."))
    return Drawing(values_by_epoch(view.sweep, options.key if options.key in keys else keys[0]))


class _Importance:
    """Draws the importance, which another thread computes."""

    def __init__(self) -> None:
        self._cache = ImportanceCache()

    def __call__(self, view: SweepView, options: ChartOptions) -> Drawing:
        del options
        computed = self._cache.get(view.key, view.sweep)
        count = len(ended_trials(view.sweep))
        is_computed = count < MIN_TRIALS or (computed is not None and computed[0] == count)
        chart = importance_chart(view.sweep, computed)
        return Drawing(chart, shown={"is_computed": is_computed})


def build_drawers() -> dict[str, Draw]:
    """Returns tab -> the function that draws it."""
    return {
        "curves": _draw_curves,
        "best": _draw_best,
        "coordinates": _draw_coordinates,
        "importance": _Importance(),
        "failures": _draw_failures,
        "repeats": _draw_repeats,
        "population": _draw_population,
    }


def tabs_of(sweep: LoadedSweep) -> dict[str, str]:
    """Returns the names and titles of the tabs that suit a sweep."""
    tune = sweep.search["tune"]
    tabs = {
        "curves": "Learning curves",
        "best": "Best so far",
        "coordinates": "Parallel coordinates",
        "importance": "Importance",
        "failures": "Failures",
    }
    if int(tune.get("repeats", 1)) > 1 or tune.get("final"):
        tabs["repeats"] = "Repeats"
    if tune["scheduler"]["name"] in POPULATION_SCHEDULERS:
        tabs["population"] = "Values by epoch"
    return tabs


def layout(site: Site, view: SweepView) -> Component:
    """Returns the tabs; a callback fills the open one, so that the table comes first."""
    del site
    metrics, keys = list_metrics(view.sweep), changing_keys(view.sweep)
    orders = {"trials": "trials", "hours": "time"}
    options = [
        _option("curves", "Metric", _dropdown("chart-metric", metrics)),
        _option("best", "By", dcc.RadioItems(orders, "trials", id="chart-order", inline=True)),
        _option("population", "Key", _dropdown("chart-key", keys)),
    ]
    tabs = [
        dcc.Tab(label=title, value=name, className="tab", selected_className="tab-open")
        for name, title in tabs_of(view.sweep).items()
    ]
    return html.Div(
        [
            dcc.Tabs(tabs, id="chart-tabs", value="curves", className="tabs", mobile_breakpoint=0),
            html.Div(options, className="chart-options"),
            html.P([html.Span(id="chart-note"), html.Strong(id="chart-count")], className="muted"),
            html.Div(id="chart-body"),
            html.Div(id="chart-content"),
            dcc.Interval(id="chart-start", interval=1, max_intervals=1),
            *(dcc.Store(id=f"chart-{name}") for name in STORES),
        ],
        className="panel",
    )


def _dropdown(name: str, values: Sequence[str]) -> dcc.Dropdown:
    first = values[0] if values else None
    return dcc.Dropdown(values, first, id=name, clearable=False, searchable=False)


def _option(tab: str, label: str, control: Component) -> Component:
    parts = [html.Span(label, className="label"), control]
    return html.Div(parts, id={"type": "chart-option", "tab": tab}, className="hidden")


def register(app: Dash, site: Site) -> None:
    """Adds the callbacks that draw the open tab and that follow the brush."""
    _register_drawing(app, site)
    _register_brush(app, site)
    app.clientside_callback(
        ClientsideFunction("sweepCharts", "countSelected"),
        Output("chart-count", "children"),
        Input("selected-trials", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("sweepCharts", "openTrial"),
        Output("chart-clicked", "data"),
        Input({"type": "chart", "tab": ALL}, "clickData"),
        State({"type": "chart", "tab": ALL}, "figure"),
        State("sweep-key", "data"),
        prevent_initial_call=True,
    )


def _register_drawing(app: Dash, site: Site) -> None:
    drawers = build_drawers()

    @app.callback(
        output={
            "figures": Output({"type": "chart", "tab": ALL}, "figure"),
            "body": Output("chart-body", "children"),
            "content": Output("chart-content", "children"),
            "note": Output("chart-note", "children"),
            "shown": Output("chart-shown", "data"),
            "options": Output({"type": "chart-option", "tab": ALL}, "className"),
            "metrics": Output("chart-metric", "options"),
            "keys": Output("chart-key", "options"),
        },
        inputs={
            "tick": [Input("sweep-tick", "n_intervals"), Input("chart-start", "n_intervals")],
            "tab": Input("chart-tabs", "value"),
            "metric": Input("chart-metric", "value"),
            "order": Input("chart-order", "value"),
            "key": Input("chart-key", "value"),
            "selected": Input("selected-trials", "data"),
        },
        state={
            "sweep": State("sweep-key", "data"),
            "before": State("chart-shown", "data"),
            "brushes": State("chart-brushes", "data"),
        },
        prevent_initial_call=True,
    )
    def draw(
        tick: Any, tab: str, sweep: str, before: dict[str, Any] | None, **chosen: Any
    ) -> dict[str, Any]:
        del tick
        view = site.cache.view(str(sweep))
        if view is None or tab not in drawers:
            raise PreventUpdate
        before = before if before is not None and before["tab"] == tab else None
        if before is not None and not _is_due(view, tab, before):
            raise PreventUpdate
        if before is not None:  # a brush of the user stays only if this one does
            chosen["brushes"] = before.get("brushes")
        return _outputs(view, tab, before, drawers[tab](view, _options(chosen)))


def _outputs(
    view: SweepView, tab: str, before: Mapping[str, Any] | None, drawing: Drawing
) -> dict[str, Any]:
    """Returns the outputs of the callback that draws; a graph that is there keeps its zoom."""
    figure = drawing.chart.figure
    graphs = [output["id"]["tab"] for output in ctx.outputs_grouping["figures"]]
    options = [output["id"]["tab"] for output in ctx.outputs_grouping["options"]]
    is_there = figure is not None and graphs == [tab]
    is_new = before is None or before["version"] != view.version
    return {
        "figures": [figure] if is_there else [no_update] * len(graphs),
        "body": no_update if is_there else figure and graph("chart", tab, figure),
        "content": drawing.content,
        "note": drawing.chart.note,
        "shown": {"tab": tab, "version": view.version, **drawing.shown},
        "options": ["chart-option" if name == tab else "hidden" for name in options],
        "metrics": list_metrics(view.sweep) if is_new else no_update,
        "keys": changing_keys(view.sweep) if is_new else no_update,
    }


def _is_due(view: SweepView, tab: str, before: Mapping[str, Any]) -> bool:
    """Returns whether the open tab, which was drawn before, is to be drawn again."""
    if ctx.triggered_id == "selected-trials":
        return tab == "curves"
    is_tick = ctx.triggered_id in {"sweep-tick", "chart-start"}
    return not is_tick or before["version"] != view.version or before.get("is_computed") is False


def _options(chosen: Mapping[str, Any]) -> ChartOptions:
    return ChartOptions(
        metric=chosen["metric"],
        order=str(chosen["order"]),
        key=chosen["key"],
        selected=list(chosen["selected"] or ()),
        brushes=chosen["brushes"] or {},
    )


def _register_brush(app: Dash, site: Site) -> None:
    @app.callback(
        Output("chart-brushed", "data"),
        Output("trials", "scrollTo"),
        Output("chart-brushes", "data"),
        Input({"type": "chart", "tab": ALL}, "restyleData"),
        State("sweep-key", "data"),
        State("chart-shown", "data"),
        State("chart-brushes", "data"),
        prevent_initial_call=True,
    )
    def brush(
        restyled: list[Any], key: str, shown: dict[str, Any] | None, brushes: Any
    ) -> tuple[Any, ...]:
        view = site.cache.view(str(key))
        if view is None or shown is None or "axes" not in shown or not any(restyled):
            raise PreventUpdate
        axes = [Axis.from_json(values) for values in shown["axes"]]
        brushes = add_brush(brushes or {}, restyled[0], axes)
        ids = selected_trials(view.sweep, axes, brushes)
        scroll = {"rowId": ids[0], "rowPosition": "top"} if ids else no_update
        return ids, scroll, brushes

    app.clientside_callback(
        ClientsideFunction("trialTable", "selectOnly"), Input("chart-brushed", "data")
    )
