"""A sweep's trials, and their epochs, as tables for other programs."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.ranking import csv_text, ranking
from trainable.atomic_files import write_once

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def trial_rows(sweep: LoadedSweep) -> list[Row]:
    """A row a trial, best first: `trials.csv` and when it ran and why it failed."""
    rows = ranking(sweep.results, sweep.metric)
    for row, result in zip(rows, sweep.results, strict=True):
        record = result.record
        row["created"], row["started"], row["ended"] = (
            record.created,
            record.started,
            record.ended,
        )
        failed = record.state == "failed" and record.failures
        row["failure"] = record.failures[-1].cause if failed else None
    return rows


def epoch_rows(sweep: LoadedSweep) -> list[Row]:
    """A row a trial and epoch, trials in order of creation."""
    ordered = sorted(sweep.results, key=lambda result: result.record.number)
    return [{"trial": result.record.id, **row} for result in ordered for row in result.rows]


def columns(rows: list[Row]) -> list[str]:
    """Every column of rows, in the order in which they come up."""
    return list(dict.fromkeys(key for row in rows for key in row))


def as_csv(rows: list[Row]) -> str:
    """Rows as CSV; what is absent is left empty."""
    return csv_text(rows, columns(rows))


def frame(rows: list[Row]) -> pd.DataFrame:
    """Rows as a data frame; columns whose values are of several types have them as JSON text."""
    import pandas as pd  # takes half a second

    return pd.DataFrame(_uniform(rows), columns=columns(rows))


def write_parquet(rows: list[Row], path: Path) -> None:
    """Replaces a Parquet file whole."""
    data = BytesIO()
    frame(rows).to_parquet(data, index=False)
    write_once([path], lambda file: file.write(data.getvalue()))


def _uniform(rows: list[Row]) -> list[Row]:
    """The rows with text in place of what no column of one type can hold."""
    mixed = {name for name in columns(rows) if _is_mixed(row.get(name) for row in rows)}
    return [
        {
            name: json.dumps(value) if name in mixed and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _is_mixed(values: Any) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return kinds - {int, float} != set() and (len(kinds) > 1 or bool(kinds & {list, dict, tuple}))
