"""Reads the new lines of a `metrics.jsonl` that grows."""

from __future__ import annotations

from pathlib import Path

from trainable.artifacts.metrics import Row, parse_rows


class RowsTail:
    """The rows of one trial, of which each look reads those that were appended since the last.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Row] = []
        self._end = 0
        """Bytes of the rows that were read."""
        self._last_line = b""

    def read(self) -> list[Row] | None:
        """Returns all rows; None if the file cannot be read or a line is not an epoch's metrics.

        Rows that were returned before are the same objects, in a new list.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._end - len(self._last_line))
                data = file.read()
                if not data.startswith(self._last_line):  # a resume has taken rows back
                    self._rows, self._end, self._last_line = [], 0, b""
                    file.seek(0)
                    data = file.read()
        except FileNotFoundError:
            return []
        except OSError:
            return None
        new = data[len(self._last_line) : data.rfind(b"\n") + 1]
        if not new:
            return list(self._rows)
        rows, problems = parse_rows(new)
        if problems or (self._rows and rows[0]["epoch"] <= self._rows[-1]["epoch"]):
            self._rows, self._end, self._last_line = [], 0, b""
            return None
        self._rows += rows
        self._end += len(new)
        self._last_line = new[new.rfind(b"\n", 0, -1) + 1 :]
        return list(self._rows)
