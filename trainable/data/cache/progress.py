"""Progress of a process that decodes, for the user and for other processes."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from trainable.data.cache.eviction import PROGRESS_FILE, find_parts
from trainable.data.cache.locks import LINE_INTERVAL_S, OnEvent, try_lock

FIRST_LINE_S = 5.0
"""Seconds until the first line on the progress."""
PROGRESS_CHARS = 200
"""Length of the file of the progress, so that a shorter text leaves nothing of a longer one."""


class Progress:
    """Shows other processes, and the user, how far a builder is.

    Args:
        part: The directory that is being built.
        total: Number of files.
        root: Directory of the data set.
        report: Called with a line now and then.
    """

    def __init__(self, part: Path, total: int, root: Path, report: OnEvent) -> None:
        path = part / PROGRESS_FILE
        path.touch()
        self._lock = try_lock(path, shared=False)  # held until the builder ends, see `eviction`
        self._path = path
        self._total = total
        self._root = root
        self._report = report
        self._next_line = time.monotonic() + FIRST_LINE_S
        self(0)

    def __call__(self, done: int) -> None:
        """Records the number of decoded files."""
        state = {"host": socket.gethostname(), "pid": os.getpid(), "total": self._total}
        text = json.dumps({**state, "done": done})
        with self._path.open("r+") as file:  # in place, to keep the lock
            file.write(text.ljust(PROGRESS_CHARS))
        if time.monotonic() >= self._next_line and done < self._total:
            self._next_line = time.monotonic() + LINE_INTERVAL_S
            percent = _percent(done, self._total)
            self._report(f"decoding {self._total:,} images of {self._root}: {percent}")


def describe_builder(directory: Path, root: Path) -> str:
    """Returns which process decodes a data set and how far it is.

    Args:
        directory: The cache that it builds.
        root: Directory of the data set.
    """
    for part in find_parts(directory.parent, directory.name):
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads((part / PROGRESS_FILE).read_text())
            percent = _percent(state["done"], state["total"])
            builder = f"process {state['pid']} on {state['host']}"
            return f"{builder}, which has decoded {percent} of the images of {root}"
    return f"another process, which decodes the images of {root}"


def _percent(done: int, total: int) -> str:
    return f"{100 * done // total} %"
