"""The page that compares trials of a sweep: what differs comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from sweeps.report.class_data import SPLIT_NAMES, SplitClasses, format_recall, read_splits
from sweeps.report.comparison import config_differences
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.formatting import format_metric, format_value
from sweeps.ui.addresses import sweep_path, trial_path
from sweeps.ui.cache import SweepView
from sweeps.ui.figures.curves import list_metrics
from sweeps.ui.figures.trial_curves import compared_curves, trial_colours
from sweeps.ui.pages.parts import graph, missing_page, notes, state_badge, table
from sweeps.ui.site import TICK_MS, Site
from sweeps.ui.trial_files import describe_foreign
from trainable.artifacts.class_metrics import RECALL
from trainable.errors import TuneSweepsError

MAX_TRIALS = 12
"""Trials that one page compares."""
MAX_CLASSES = 100
"""Classes that the table shows, those that differ the most."""


def layout(_: Site, view: SweepView, trial_ids: list[str]) -> Component:
    """Returns the page."""
    chosen = [view.by_id[name] for name in dict.fromkeys(trial_ids) if name in view.by_id]
    unknown = [name for name in dict.fromkeys(trial_ids) if name not in view.by_id]
    if len(chosen) < 2:
        return missing_page("Select at least two trials of a sweep to compare them.")
    results = chosen[:MAX_TRIALS]
    if foreign := next(filter(None, (describe_foreign(r.directory) for r in results)), None):
        return missing_page(foreign)
    metrics = list_metrics(view.sweep)
    crumbs: list[Any] = [
        dcc.Link("All sweeps", href="/"),
        " / ",
        dcc.Link(view.key, href=sweep_path(view.key)),
        " / comparison",
    ]
    problems = [f"There is no trial {name}." for name in unknown]
    if len(chosen) > MAX_TRIALS:
        problems.append(f"{len(chosen)} trials are selected; the first {MAX_TRIALS} are shown.")
    choice = dcc.Dropdown(
        metrics, metrics[0], id="compare-metric", clearable=False, searchable=False
    )
    return html.Div(
        [
            dcc.Store(id="sweep-key", data=view.key),
            dcc.Store(id="compare-ids", data=[result.record.id for result in results]),
            dcc.Store(id="compare-shown", data=_stamp(view, results, None)),
            dcc.Interval(id="compare-tick", interval=TICK_MS),
            dcc.Interval(id="compare-start", interval=1, max_intervals=1),
            html.Div(crumbs, className="crumbs"),
            html.Div(
                [
                    html.H1(f"{len(results)} trials of {view.sweep.record.name}"),
                    notes(problems),
                    html.Div(_tables(view, results), id="compare-tables"),
                ],
                className="panel",
            ),
            html.Div(
                [
                    html.Div(
                        [html.H2("Curves"), html.Div(choice, className="choice")],
                        className="toolbar",
                    ),
                    html.Div(id="compare-curves"),
                ],
                className="panel",
            ),
            html.Div(_classes(results), id="compare-classes"),
        ]
    )


def _stamp(view: SweepView, results: Sequence[TrialResult], metric: str | None) -> list[Any]:
    """Returns what changes when the page does: the drawn metric, and the trials' versions."""
    return [metric, [view.changed[result.record.id] for result in results]]


def _tables(view: SweepView, results: Sequence[TrialResult]) -> list[Component]:
    """Returns the values that differ and the best metrics, one column per trial."""
    sweep = view.sweep
    head: list[Any] = [""]
    for result, colour in zip(results, trial_colours(results), strict=True):
        link = dcc.Link(result.record.id, href=trial_path(view.key, result.record.id))
        head.append([html.Span(className="swatch", style={"background": colour}), link])
    try:
        differences = config_differences(results, sweep.search["config"])
    except TuneSweepsError as error:
        return [notes([str(error)]), table(head, _metric_rows(sweep, results))]
    values = [[key, *map(_cell, column)] for key, column in differences.items()]
    if not values:
        same = "The configs are the same."
        return [html.P(same, className="muted"), table(head, _metric_rows(sweep, results))]
    return [table(head, [*values, *_metric_rows(sweep, results)], "comparison")]


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else format_value(value)


def _metric_rows(sweep: LoadedSweep, results: Sequence[TrialResult]) -> list[list[Any]]:
    rows: list[list[Any]] = [["state", *(state_badge(result.record.state) for result in results)]]
    for name, mode in sweep.metrics.items():
        values = [(result.best or {}).get(name) for result in results]
        present = [value for value in values if value is not None]
        best = (max if mode == "max" else min)(present, default=None)
        cells = [format_metric(result.best, name) for result in results]
        marked = [
            html.Strong(cell) if value is not None and value == best else cell
            for cell, value in zip(cells, values, strict=True)
        ]
        rows.append([f"best {name}", *marked])
    epochs = [[result.best, result.last] for result in results]
    rows.append(["at epoch", *("-" if best is None else best["epoch"] for best, _ in epochs)])
    rows.append(["last epoch", *(0 if last is None else last["epoch"] for _, last in epochs)])
    rows.append([f"last {sweep.metric}", *(format_metric(r.last, sweep.metric) for r in results)])
    return rows


def _classes(results: Sequence[TrialResult]) -> list[Component]:
    """Returns the recall of every class by trial, the largest differences first."""
    by_trial = [{split.name: split for split in read_splits(result)} for result in results]
    parts = []
    for name, title in SPLIT_NAMES.items():
        splits = [splits.get(name) for splits in by_trial]
        rows = class_rows(splits)
        if rows:
            head = ["class", *(result.record.id for result in results), "difference"]
            content = [html.H2(f"Recall of each class, {title}"), table(head, rows, "numbers")]
            parts.append(html.Div(content, className="panel"))
    return list(parts)


def class_rows(splits: Sequence[SplitClasses | None]) -> list[list[str]]:
    """Returns class, the recall of each trial, and their largest difference.

    Args:
        splits: The metrics of the same split of each trial; None where there are none. Trials
            with other classes than the first one's are left out.
    """
    with_recall = [split for split in splits if split is not None and RECALL in split.metrics]
    if len(with_recall) < 2:
        return []
    first = with_recall[0]
    count = len(first.metrics[RECALL])
    columns = [_recalls(split, count) for split in splits]
    rows = []
    for label in range(count):
        values = [None if column is None else column[label] for column in columns]
        present = [value for value in values if value is not None]
        difference = max(present) - min(present) if present else 0.0
        cells = [
            "-" if column is None else format_recall(value)
            for column, value in zip(columns, values, strict=True)
        ]
        rows.append((difference, [first.label(label), *cells, format_value(difference)]))
    rows.sort(key=lambda row: -row[0])
    return [row for _, row in rows[:MAX_CLASSES]]


def _recalls(split: SplitClasses | None, count: int) -> list[float | None] | None:
    recalls = None if split is None else split.metrics.get(RECALL)
    return recalls if recalls is not None and len(recalls) == count else None


def register(app: Dash, site: Site) -> None:
    """Adds the callback that brings the page up to date."""

    @app.callback(
        Output("compare-curves", "children"),
        Output("compare-tables", "children"),
        Output("compare-classes", "children"),
        Output("compare-shown", "data"),
        Input("compare-tick", "n_intervals"),
        Input("compare-start", "n_intervals"),
        Input("compare-metric", "value"),
        State("sweep-key", "data"),
        State("compare-ids", "data"),
        State("compare-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(
        tick: Any, start: Any, metric: str, key: str, ids: list[str], shown: list[Any]
    ) -> tuple[Any, ...]:
        del tick, start
        view = site.cache.view(str(key))
        if view is None:
            raise PreventUpdate
        results = [view.by_id[name] for name in ids if name in view.by_id][:MAX_TRIALS]
        stamp = _stamp(view, results, metric)
        if stamp == shown or not results:
            raise PreventUpdate
        curves = graph("compare", "curves", compared_curves(results, metric))
        if shown[1] == stamp[1]:  # the rest is as it was
            return curves, no_update, no_update, stamp
        return curves, _tables(view, results), _classes(results), stamp
