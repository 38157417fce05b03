"""Reads the rows of a table of images: CSV and TSV here, Parquet by `parquet`.

Every field is text, as it stands in the file: `01` is not 1, and `NA` is a name like others.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainable.config import TableDataset
from trainable.config.names import suggestion
from trainable.data.listing import find_file
from trainable.errors import DataError, list_first

CSV, TSV, PARQUET = ".csv", ".tsv", ".parquet"
DELIMITERS = {CSV: ",", TSV: "\t"}
OTHER_DELIMITERS = (";", "\t", ",")
"""Delimiters that are tried where the header has not the columns under the usual one."""
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
DEFAULT_SPLIT_COLUMN = TableDataset.model_fields["split_column"].default
MAX_LISTED_LINES = 5
MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a table, as it stands there."""

    number: int
    """Line of a text file, or row of a Parquet file; both begin at 1."""
    path: str
    label: str
    split: str | None = None
    """None if the table has no such column."""
    group: str | None = None
    """None without `dataset.group_column`."""


@dataclass(frozen=True)
class Table:
    """The rows of a table."""

    file: Path
    unit: str
    """Word for the number of a row: `line` or `row`."""
    rows: list[Row]
    has_split: bool
    notices: tuple[str, ...] = ()
    """Lines for the user on how the file is read."""

    def list_rows(self, numbers: Sequence[int]) -> str:
        """Returns rows by their number, the first of them if there are many."""
        return list_numbers(self.unit, numbers)


def list_numbers(unit: str, numbers: Sequence[int]) -> str:
    """Returns e.g. `line 3` or `5 lines: 3, 4, 7, 8, 9`, the first of them if there are many."""
    if len(numbers) == 1:
        return f"{unit} {numbers[0]}"
    return f"{len(numbers)} {unit}s: {list_first(numbers, MAX_LISTED_LINES)}"


def read_table(dataset: TableDataset) -> Table:
    """Reads the columns of a table that the config names.

    Args:
        dataset: The config's `dataset` section.

    Raises:
        DataError: The file is missing or broken, or lacks a column.
    """
    file = find_file(dataset)
    if file.suffix.lower() == PARQUET:
        from trainable.data.table.parquet import read_parquet  # pyarrow, for this kind only

        return read_parquet(dataset, file)
    return _read_text(dataset, file)


def find_columns(dataset: TableDataset, header: Sequence[str]) -> dict[str, int]:
    """Returns the position of each column that is read: `path`, `label`, `split`, `group`.

    Args:
        dataset: The config's `dataset` section.
        header: Names of all columns.

    Raises:
        DataError: A column is missing or occurs twice; the text has all problems.
    """
    wanted = {"path": dataset.path_column, "label": dataset.label_column}
    if dataset.split_column in header or dataset.split_column != DEFAULT_SPLIT_COLUMN:
        wanted["split"] = dataset.split_column
    if dataset.group_column is not None:
        wanted["group"] = dataset.group_column
    problems = []
    for kind, name in wanted.items():
        if name not in header:
            hint = suggestion(name, header).replace("(known:", "(columns:")
            problems.append(f"dataset.{kind}_column {name} is no column of {dataset.file}{hint}")
        elif header.count(name) > 1:
            problems.append(
                f"dataset.{kind}_column {name} must occur once in {dataset.file}, found "
                f"{header.count(name)} columns of that name"
            )
    problems += [
        f"dataset.{first}_column and dataset.{second}_column must be two columns, found "
        f"{wanted[first]} for both"
        for first, second in (("path", "label"), ("path", "split"), ("label", "split"))
        if wanted[first] == wanted.get(second)
    ]
    if problems:
        raise DataError("; ".join(problems))
    return {kind: list(header).index(name) for kind, name in wanted.items()}


def build_row(number: int, fields: Sequence[str], columns: dict[str, int]) -> Row:
    """Builds a row from its fields and the columns of `find_columns`."""
    split, group = columns.get("split"), columns.get("group")
    return Row(
        number,
        fields[columns["path"]],
        fields[columns["label"]],
        None if split is None else fields[split],
        None if group is None else fields[group],
    )


def _read_text(dataset: TableDataset, file: Path) -> Table:
    text = _decode(file)
    delimiter, notices = _choose_delimiter(dataset, file, text)
    records = _read_records(file, text, delimiter)
    header = [cell.strip() for cell in next(records, (0, []))[1]]
    if not header:
        raise DataError(f"dataset.file must have a header and rows; {file} is empty")
    _refuse_missing_header(dataset, file, header, text)
    columns = find_columns(dataset, header)
    rows: list[Row] = []
    wrong: dict[int, int] = {}
    for number, fields in records:
        if len(fields) == len(header):
            rows.append(build_row(number, fields, columns))
        else:
            wrong[number] = len(fields)
    if wrong:
        raise DataError(_describe_lengths(file, wrong, len(header)))
    return Table(file, "line", rows, "split" in columns, notices)


def _decode(file: Path) -> str:
    """Reads a text file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: It cannot be read, or is in another encoding.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"dataset.file {file} cannot be read: {error.strerror}") from error
    remedy = "save it as UTF-8 (spreadsheets call it CSV UTF-8)"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise DataError(
            f"dataset.file must be UTF-8 text, found {byte} in line {line} of {file}; {remedy}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"dataset.file must be UTF-8 text, found a zero byte in line {line} of {file}; "
            f"{remedy}"
        )
    return text


def _read_records(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the fields of each row that is not blank, with the line that it begins in.

    Raises:
        DataError: Quotes are wrong.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"dataset.file {file} is broken in the row that begins in line {number}: {error}"
            ) from error
        if fields:
            yield number, fields
        number = reader.line_num + 1


def _choose_delimiter(dataset: TableDataset, file: Path, text: str) -> tuple[str, tuple[str, ...]]:
    """Returns the delimiter and what to say of it.

    It is that of the file's extension, unless only another one gives the header its columns.
    """
    usual = DELIMITERS[file.suffix.lower()]
    first = next((line for line in text.splitlines() if line.strip()), "")
    wanted = {dataset.path_column, dataset.label_column}

    def split_header(delimiter: str) -> list[str]:
        try:
            fields = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            return []
        return [cell.strip() for cell in fields]

    others = [other for other in OTHER_DELIMITERS if other != usual]
    if not wanted <= set(split_header(usual)):
        for other in others:
            if wanted <= set(split_header(other)):
                return other, (f"{file} is read with {DELIMITER_NAMES[other]} between columns",)
        if len(split_header(usual)) == 1:
            usual = max([usual, *others], key=lambda other: len(split_header(other)))
    return usual, ()


def _refuse_missing_header(
    dataset: TableDataset, file: Path, header: Sequence[str], text: str
) -> None:
    """Refuses a table whose first line is an image already.

    Raises:
        DataError: It has none of the columns, and a field of it names a file.
    """
    wanted = {dataset.path_column, dataset.label_column, dataset.split_column}
    if wanted & set(header) or not any(Path(dataset.root, cell).is_file() for cell in header):
        return
    first = text.splitlines()[0][:MAX_SHOWN_CHARACTERS]
    example = [dataset.path_column, dataset.label_column]
    if len(header) == 1:
        example = [dataset.path_column]
    names = DELIMITERS[file.suffix.lower()].join(example)
    raise DataError(
        f"dataset.file must have a header with dataset.path_column ({dataset.path_column}) and "
        f"dataset.label_column ({dataset.label_column}); the first line of {file} is an image, "
        f'"{first}": add a line such as {names!r} above it'
    )


def _describe_lengths(file: Path, wrong: dict[int, int], expected: int) -> str:
    """Returns which lines have too few or too many fields."""
    parts = [
        f"{length} in {list_numbers('line', [n for n, other in wrong.items() if other == length])}"
        for length, _ in Counter(wrong.values()).most_common()
    ]
    return (
        f"dataset.file must have {expected} fields in every line, as in its header, found "
        f"{'; '.join(parts)} of {file}: a field with the delimiter in it must be in quotes"
    )
