"""Reads the end of a trial's log, which may be large, being written, or not text at all."""

from __future__ import annotations

import os
from pathlib import Path

from sweeps.terminal.console import uri_of
from sweeps.terminal.formatting import format_size
from sweeps.ui.trial_files import describe_foreign
from trainable.artifacts.names import LOG_FILE

MAX_BYTES = 64 * 2**10
"""Bytes at the end of a log that a page shows."""


def log_stamp(directory: Path) -> list[int]:
    """Returns what changes when the log of the trial in a directory does."""
    try:
        status = (directory / LOG_FILE).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def read_tail(directory: Path, limit: int = MAX_BYTES) -> str:
    """Returns the last lines of a trial's log, or why there are none.

    Args:
        directory: The trial's directory.
        limit: Bytes of the file that are read at most.
    """
    path = directory / LOG_FILE
    try:
        if foreign := describe_foreign(directory, [LOG_FILE]):
            return f"The log is not shown: {foreign}."
        if not path.is_file():
            return "The trial has not written a log."
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - limit)
            file.seek(start)
            data = file.read(limit)
    except OSError as error:
        return f"The log cannot be read: {error.strerror}."
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    if start == 0:
        return text or "The log is empty."
    _, _, whole_lines = text.partition("\n")
    return f"... {format_size(start)} above: {uri_of(path) or path}\n{whole_lines or text}"
