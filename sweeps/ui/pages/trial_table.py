"""The table of a sweep's trials: columns, rows, and the changes since a version of the sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import dash_ag_grid as dag

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.ui.addresses import trial_path
from sweeps.ui.cache import SweepView

MAX_TEXT = 80
"""Characters of a value that a cell shows."""
Columns = list[dict[str, Any]]
Row = dict[str, Any]


def trial_grid(view: SweepView) -> dag.AgGrid:
    """Returns the table with all trials of a sweep."""
    return dag.AgGrid(
        id="trials",
        className="grid",
        columnDefs=columns(view.sweep),
        rowData=rows(view, view.sweep.results),
        getRowId="params.data.id",
        defaultColDef={
            "sortable": True,
            "filter": True,
            "resizable": True,
            "minWidth": 80,
            "suppressHeaderMenuButton": True,
        },
        # With rows to select, which it would note itself, the component sets the selection back to
        # them when rows change, so that a box ticked a moment before would be empty again.
        selectedRows=None,
        eventListeners={"selectionChanged": ["noteSelection(params)"]},
        rowClassRules={"best-trial": "params.data.is_best"},
        dashGridOptions={
            "theme": {"function": "quietTheme(themeQuartz)"},
            "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
            "onSelectionChanged": None,
            "selectionColumnDef": {"pinned": "left", "width": 42},
            "animateRows": False,
            "enableCellTextSelection": True,
            "suppressFieldDotNotation": True,
            "suppressColumnVirtualisation": True,
            "pagination": False,
        },
        style={"height": "440px"},
    )


def columns(sweep: LoadedSweep) -> Columns:
    """Returns the columns: what was reached first, then every sampled key."""
    descending = "desc" if sweep.mode == "max" else "asc"
    fixed = [
        _text("trial", "trial", 104, pinned="left", cellRenderer="PageLink"),
        _text("state", "state", 108, cellRenderer="State"),
        _number("best", sweep.metric, 100, metric=True) | {"initialSort": descending},
        _number("best_epoch", "at epoch", 92),
        _number("last", "last", 92, metric=True),
        _number("epoch", "epoch", 84),
    ]
    keys = [_key_column(sweep, f"v{i}", key) for i, key in enumerate(sweep.sampled_keys)]
    others = [_number("number", "number", 92), _text("note", "note", 220)]
    return [*fixed, *keys, *others]


def _key_column(sweep: LoadedSweep, field: str, key: str) -> dict[str, Any]:
    values = (_plain(result.values.get(key)) for result in sweep.results)
    is_text = any(isinstance(value, str) for value in values)
    width = min(240, max(100, 9 * len(key) + 30))
    return (_text if is_text else _number)(field, key, width)


def _text(field: str, name: str, width: int, **options: Any) -> dict[str, Any]:
    return {
        "field": field,
        "headerName": name,
        "headerTooltip": name,
        "width": width,
        "minWidth": 70,
        **options,
    }


def _number(field: str, name: str, width: int, *, metric: bool = False) -> dict[str, Any]:
    form = "formatMetric" if metric else "formatNumber"
    return {
        "field": field,
        "headerName": name,
        "headerTooltip": name,
        "width": width,
        "filter": "agNumberColumnFilter",
        "type": "rightAligned",
        "valueFormatter": {"function": f"{form}(params.value)"},
        "comparator": {"function": "compareNumbers"},
    }


def rows(view: SweepView, results: Iterable[TrialResult]) -> list[Row]:
    """Returns the rows of trials."""
    keys = view.sweep.sampled_keys
    best = view.sweep.best
    return [_row(view, result, keys, is_best=result is best) for result in results]


def _row(view: SweepView, result: TrialResult, keys: list[str], *, is_best: bool) -> Row:
    record, metric = result.record, view.sweep.metric
    best, last = result.best or {}, result.last or {}
    values = result.values
    return {
        "id": record.id,
        "trial": record.id,
        "href": trial_path(view.key, record.id),
        "state": record.state,
        "best": _plain(best.get(metric)),
        "best_epoch": best.get("epoch"),
        "last": _plain(last.get(metric)),
        "epoch": last.get("epoch", 0),
        **{f"v{i}": _plain(values.get(key)) for i, key in enumerate(keys)},
        "number": record.number,
        "note": _note(result),
        "is_best": is_best,
    }


def _plain(value: Any) -> Any:
    """Returns a value as a cell has it: a number, a short text or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _note(result: TrialResult) -> str:
    """Returns what else is to be said about a trial."""
    record = result.record
    notes = []
    if record.final:
        notes.append("final")
    if record.added:
        notes.append("added by hand")
    if record.held:
        notes.append("paused by hand")
    if record.state == "failed" and record.failures:
        failure = record.failures[-1]
        first_line = failure.message.strip().partition("\n")[0]
        notes.append(f"{failure.cause}: {first_line}")
    elif record.failures:
        notes.append(f"{len(record.failures)} failures, recovered")
    if record.stopped_by is not None:
        notes.append(f"stopped by {record.stopped_by}")
    if result.damage is not None:
        notes.append("damaged files")
    return str(_plain("; ".join(notes))) if notes else ""


def changes(view: SweepView, since: int, best_before: str | None) -> dict[str, Any] | None:
    """Returns the rows that are new or have changed; None if all rows have to be replaced.

    Args:
        view: The sweep.
        since: The version that the table shows.
        best_before: The id of the best trial of that version.
    """
    if since < view.replaced_in:
        return None
    best = view.sweep.best
    now = None if best is None else best.record.id
    flipped = {best_before, now} if best_before != now else set()
    added, updated = [], []
    for result in view.sweep.results:
        trial = result.record.id
        if view.created[trial] > since:
            added.append(result)
        elif view.changed[trial] > since or trial in flipped:
            updated.append(result)
    return {"add": rows(view, added), "update": rows(view, updated)}
