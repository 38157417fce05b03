"""The lock of the process that decodes a data set, and what others see of its progress."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from trainable.data.cache.eviction import PROGRESS_FILE, find_parts, lock_path
from trainable.data.cache.locks import try_lock

POLL_S = 1.0
"""Interval at which a process looks whether it can stop waiting for another one."""
FIRST_LINE_S, LINE_INTERVAL_S = 5.0, 30.0
"""Seconds until the first line on the progress, and between lines."""
PROGRESS_CHARS = 200
"""Length of the file of the progress, so that a shorter text leaves nothing of a longer one."""

OnEvent = Callable[[str], None]


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


@contextmanager
def building_alone(directory: Path, root: Path, report: OnEvent) -> Iterator[None]:
    """Holds the lock of a cache; where there are no locks, two processes build the same one."""
    lock = FileLock(lock_path(directory))
    next_line = time.monotonic()
    while not lock.is_locked:
        try:
            lock.acquire(timeout=POLL_S)
        except Timeout:
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_INTERVAL_S
                report(f"waiting for {_describe_builder(directory)} the images of {root}")
        except (OSError, NotImplementedError):
            break
    try:
        yield
    finally:
        lock.release()


def _describe_builder(directory: Path) -> str:
    """Returns which process builds a cache and how far it is."""
    for part in find_parts(directory.parent, directory.name):
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads((part / PROGRESS_FILE).read_text())
            percent = _percent(state["done"], state["total"])
            return f"process {state['pid']} on {state['host']}, which has decoded {percent} of"
    return "another process, which decodes"


def _percent(done: int, total: int) -> str:
    return f"{100 * done // total} %"
