"""Reads the columns of a Parquet file as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainable.config import TableDataset
from trainable.data.table.rows import Table, build_row, find_columns, list_numbers
from trainable.errors import DataError


def read_parquet(dataset: TableDataset, file: Path) -> Table:
    """Reads the columns of a Parquet file that the config names.

    Whole numbers become text as they are written, and an empty value the empty text. Other
    columns are not read.

    Args:
        dataset: The config's `dataset` section.
        file: The file, which exists.

    Raises:
        DataError: pyarrow is not installed, the file is broken, or a column is missing or has
            values other than texts and whole numbers.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"dataset.file {file} needs pyarrow (pip install pyarrow); or save the table as .csv"
        ) from error
    try:
        with parquet.ParquetFile(file) as opened:
            header = list(opened.schema_arrow.names)
            columns = find_columns(dataset, header)
            names = [header[position] for position in columns.values()]
            table = opened.read(columns=list(dict.fromkeys(names)))
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"dataset.file {file} is no readable Parquet file: {reason}") from error
    texts = {
        kind: _read_texts(table.column(name).to_pylist(), f"dataset.{kind}_column {name}")
        for kind, name in zip(columns, names, strict=True)
    }
    positions = {kind: position for position, kind in enumerate(texts)}
    rows = [
        build_row(number, fields, positions)
        for number, fields in enumerate(zip(*texts.values(), strict=True), start=1)
    ]
    return Table(file, "row", rows, "split" in columns)


def _read_texts(values: list[Any], column: str) -> list[str]:
    """Returns the values of a column as text.

    Raises:
        DataError: A value is neither text nor a whole number.
    """
    texts: list[str] = []
    wrong: list[int] = []
    for number, value in enumerate(values, start=1):
        if value is None:
            texts.append("")
        elif isinstance(value, str | int):
            texts.append(str(value))
        elif isinstance(value, float) and value.is_integer():
            texts.append(str(int(value)))
        else:
            wrong.append(number)
    if wrong:
        example = values[wrong[0] - 1]
        shown = f"{example}" if isinstance(example, float) else type(example).__name__
        raise DataError(
            f"{column} must hold texts or whole numbers, found {shown} in "
            f"{list_numbers('row', wrong)}"
        )
    return texts
