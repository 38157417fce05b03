"""Exports a sweep's trials and epochs as tables for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.ranking import ranking_rows, to_csv
from trainable.artifacts.metrics import more_scores
from trainable.atomic_files import write_once
from trainable.trial_settings import VALUES

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def trial_rows(sweep: LoadedSweep) -> list[Row]:
    """Returns one row per trial, best first: those of `trials.csv` with times and the failure."""
    rows = ranking_rows(sweep.results, sweep.metric)
    for row, result in zip(rows, sweep.results, strict=True):
        record = result.record
        row["created"], row["started"], row["ended"] = (
            record.created,
            record.started,
            record.ended,
        )
        failed = record.state == "failed" and record.failures
        best, last = result.best or {}, result.last or {}
        for name in (*more_scores(last, "val"), *more_scores(last, "test")):
            if name != sweep.metric:
                row[name] = best.get(name)
        row["failure"] = record.failures[-1].cause if failed else None
    return rows


def epoch_rows(sweep: LoadedSweep) -> list[Row]:
    """Returns one row per epoch of every trial, trials in order of creation.

    Under PBT and PB2 a row has the values that the epoch was trained with.
    """
    trials = sorted(sweep.results, key=lambda result: result.record.number)
    return [
        {"trial": trial.record.id, **without_values(row), **row.get(VALUES, {})}
        for trial in trials
        for row in trial.rows
    ]


def without_values(row: Row) -> Row:
    """Returns a row of an epoch without the mapping of the values that it was trained with."""
    return {name: value for name, value in row.items() if name != VALUES}


def column_names(rows: list[Row]) -> list[str]:
    """Returns every column of the rows, in the order in which it first appears."""
    return list(dict.fromkeys(key for row in rows for key in row))


def rows_to_csv(rows: list[Row]) -> str:
    """Returns rows as CSV; missing values are empty."""
    return to_csv(rows, column_names(rows))


def to_frame(rows: list[Row]) -> pd.DataFrame:
    """Returns rows as a data frame; columns with values of several types hold JSON text."""
    import pandas as pd  # takes half a second

    return pd.DataFrame(_with_uniform_columns(rows), columns=column_names(rows))


def write_parquet(rows: list[Row], path: Path) -> None:
    """Writes rows as a Parquet file, which replaces an existing one atomically."""
    data = BytesIO()
    to_frame(rows).to_parquet(data, index=False)
    write_once([path], lambda file: file.write(data.getvalue()))


def _with_uniform_columns(rows: list[Row]) -> list[Row]:
    """Replaces the values of mixed columns by their JSON text."""
    mixed = {name for name in column_names(rows) if _is_mixed(row.get(name) for row in rows)}
    return [
        {
            name: json.dumps(value) if name in mixed and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _is_mixed(values: Iterable[Any]) -> bool:
    types = {type(value) for value in values if value is not None}
    return types - {int, float} != set() and (len(types) > 1 or bool(types & {list, dict, tuple}))
