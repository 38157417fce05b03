"""Tables of images: CSV, TSV and Parquet files, and the folders of images they are about."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainable.config import TableDataset

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def write_table(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Writes a table in the format of the file's extension; returns the file."""
    if file.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        columns = list(zip(*rows, strict=True))
        parquet.write_table(pa.table(dict(zip(header, map(list, columns), strict=True))), file)
        return file
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter=DELIMITERS[file.suffix])
        writer.writerows([header, *rows])
    return file


def table_of_folder(root: Path, file: Path) -> Path:
    """Writes the table of an image folder: path, label and split of every image; returns it."""
    rows = [
        (path.relative_to(root).as_posix(), path.parent.name, path.parent.parent.name)
        for path in sorted(root.glob("*/*/*.*"))
    ]
    return write_table(file, ("path", "label", "split"), rows)


def table_dataset(root: Path, file: str = "labels.csv", **keys: Any) -> TableDataset:
    """Returns the section of a table below the root."""
    return TableDataset(name="table", root=str(root), file=file, **keys)
