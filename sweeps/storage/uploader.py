"""What the process that runs a sweep does for its object storage, beside the sweep's own work.

Its files go there from a thread, in consistent states: what has changed is read between two steps
of Tune's. How often depends on how long it takes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.storage.location import desk_of
from sweeps.storage.sweep_mirror import Contents, Desk
from sweeps.sweep_dir.layout import STOP_FILE
from sweeps.terminal.console import print_line
from trainable.errors import StorageError
from trainable.storage.object_store import PATIENCE_S

LEAST_S, MOST_S = 1.0, 15.0
"""Between two times that what has changed is sent."""
SHARE = 20
"""Sending takes at most one part in so many of the time, within these bounds."""
LOOKED_S = 5.0
"""Between two looks for a request to stop."""


class StoreKeeper:
    """Brings what changes on a desk into the store.

    Args:
        desk: Of the sweep that this process runs.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._due = 0.0
        self._looked = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True, name="store")
        self._thread.start()

    def tick(self) -> None:
        """Has what has changed sent, if it is time to; called between two steps of Tune's."""
        if not self._idle.is_set() or time.monotonic() < self._due:
            return
        contents = self.desk.changed()
        self._due = time.monotonic() + LEAST_S
        if contents:
            self._idle.clear()
            self._jobs.put(lambda: self._send(contents))

    def delete(self, names: list[str]) -> None:
        """Has objects deleted, some time soon."""
        self._jobs.put(lambda: self.desk.remote.delete(names))

    def flush(self) -> None:
        """Sends what has changed and waits for it.

        Raises:
            StorageError: The store does not take it.
        """
        self._idle.wait()
        self.desk.send(self.desk.changed())

    def close(self) -> None:
        """Ends the thread when it has done what it has been given."""
        self._jobs.put(None)
        self._thread.join()

    def _send(self, contents: list[Contents]) -> None:
        begun = time.monotonic()
        try:
            self.desk.send(contents)
        finally:
            took = time.monotonic() - begun
            self._due = time.monotonic() + min(max(LEAST_S, SHARE * took), MOST_S)
            self._idle.set()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=LOOKED_S)
            except queue.Empty:
                job = self._look
            if job is None:
                return
            try:
                job()
                if time.monotonic() - self._looked > LOOKED_S:
                    self._look()
            except StorageError as error:
                print_line(f"note: not all of the sweep's files are stored yet: {error}")

    def _look(self) -> None:
        """Looks for the object that asks for a stop; the file of that name does the rest."""
        self._looked = time.monotonic()
        if self.desk.remote.stat(STOP_FILE) is not None:
            self.desk.remote.delete([STOP_FILE])
            (self.desk.directory / STOP_FILE).touch()


_keepers: dict[Desk, StoreKeeper] = {}


def keeper_of(directory: Path) -> StoreKeeper | None:
    """The keeper of a sweep that this process runs; None if it is in no object storage."""
    desk = desk_of(directory)
    return None if desk is None else _keepers.get(desk)


@contextmanager
def kept(directory: Path) -> Iterator[None]:
    """Keeps the store of a sweep current; does nothing for a directory that is no desk.

    Raises:
        StorageError: In the end the store does not take what has changed.
    """
    desk = desk_of(directory)
    if desk is None:
        yield
        return
    desk.remote.patience_s = PATIENCE_S
    desk.remote.delete([STOP_FILE])  # asked of one who has not lived to hear it
    keeper = _keepers[desk] = StoreKeeper(desk)
    try:
        keeper.flush()
        yield
    finally:
        try:
            keeper.flush()
        finally:
            keeper.close()
            del _keepers[desk]
