"""Reads what `--data` names: a built-in data set, a folder, a table, arrays, or own code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainable.config import BuiltinDataset, SyntheticDataset
from trainable.config.introspection import names_of
from trainable.config.names import suggestion
from trainable.config.own_code import is_own_code
from trainable.errors import DataError
from trainable.uri import expand_home, is_uri

BUILTIN = names_of(BuiltinDataset)
"""Names of the built-in data sets."""
SYNTHETIC = names_of(SyntheticDataset)
TABLES = (".csv", ".tsv", ".parquet")
ARRAYS = (".npz", ".pt")
FORMS = "a folder of class folders, a table (.csv, .tsv, .parquet), arrays (.npz, .pt)"

COLUMNS = {
    "path_column": ("path", "filepath", "file_path", "image_path", "file", "filename",
                    "file_name", "image", "img"),
    "label_column": ("label", "class", "target", "category", "species", "diagnosis"),
    "split_column": ("split", "subset", "partition"),
    "group_column": ("group", "patient", "patient_id", "subject", "subject_id", "group_id"),
}  # fmt: skip
"""Key of a table -> names of its column that are recognised, in order of preference."""


def read_source(text: str, parameter: str = "--data") -> tuple[dict[str, Any], list[str]]:
    """Returns the `dataset` section that a text names, and lines on how it was read.

    Args:
        text: The value of `--data`. A path is relative to the working directory.
        parameter: The name of what the user has given, for messages.

    Raises:
        DataError: There is no such data set; the text says what there may be.
    """
    if text in BUILTIN:
        notes = []
        if Path(text).is_dir():
            notes.append(f"{parameter} {text} is the built-in data set; the folder is ./{text}")
        root = {} if text == "digits" else {"root": "./data"}
        return {"name": text, **root}, notes
    if text in SYNTHETIC:
        return {"name": text}, []
    if is_uri(text):
        raise DataError(
            f"{parameter} must be a path on this machine, found {text}; mount or copy it"
        )
    path = Path(expand_home(text))
    suffix = path.suffix.lower()
    if path.is_dir():
        return {"name": "image_folder", "root": _write_path(path)}, []
    if path.is_file() and suffix in TABLES:
        return _read_table(path)
    if path.is_file() and suffix in ARRAYS:
        return {"name": "arrays", "root": _write_path(path.parent), "file": path.name}, []
    if not path.exists() and is_own_code(text):
        return {"name": text}, []
    raise DataError(_explain_unknown(text, path, parameter))


def _write_path(path: Path) -> str:
    return "." if path == Path() else path.as_posix()


def _explain_unknown(text: str, path: Path, parameter: str) -> str:
    forms = f"{FORMS}, module:callable, or one of {', '.join(BUILTIN)}"
    if path.exists():
        return f"{parameter} must be {forms}; found the file {text}"
    nearest = suggestion(text, BUILTIN)
    return f"{parameter}: there is no file or folder {text}{nearest}; it is {forms}"


def _read_table(path: Path) -> tuple[dict[str, Any], list[str]]:
    header = _read_header(path)
    section = {"name": "table", "root": _write_path(path.parent), "file": path.name}
    notes = []
    for key, names in COLUMNS.items():
        column = _find_column(header, names)
        if column is not None and column != names[0]:
            section[key] = column
            notes.append(f"dataset.{key} is {column}; change it with --set dataset.{key}=NAME")
        elif column is not None and key == "group_column":
            section[key] = column
    return section, notes


def _find_column(header: Sequence[str], names: Sequence[str]) -> str | None:
    """Returns the first column of these names, in upper or lower case, that the header has."""
    by_name = {column.strip().lower(): column for column in reversed(header)}
    return next((by_name[name] for name in names if name in by_name), None)


def _read_header(path: Path) -> list[str]:
    """Returns the names of a table's columns; the loader reports a file that is damaged."""
    if path.suffix.lower() == ".parquet":
        from pyarrow import ArrowException
        from pyarrow.parquet import read_schema

        try:
            return list(read_schema(path).names)
        except (ArrowException, OSError):
            return []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline().rstrip("\r\n")
    delimiter = max("\t;,", key=line.count)
    return [name.strip().strip('"') for name in line.split(delimiter)]
