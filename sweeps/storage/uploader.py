"""Uploads the files of a running sweep to object storage in the background.

The driver reads what has changed between two steps of Tune, when the files agree with one another,
and a thread uploads it. The interval depends on how long an upload takes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.storage.location import mirror_of
from sweeps.storage.request_objects import RequestObjects
from sweeps.storage.sweep_mirror import Contents, SweepMirror
from sweeps.sweep_dir.layout import STOP_FILE
from sweeps.terminal.console import print_line
from trainable.errors import StorageError
from trainable.storage.mirror import delete_objects
from trainable.storage.object_store import RETRY_S

MIN_INTERVAL_S, MAX_INTERVAL_S = 1.0, 15.0
"""Bounds of the time between two uploads."""
INTERVAL_PER_UPLOAD_TIME = 20
"""Within these bounds, the interval is so many times the duration of the last upload."""
REQUEST_CHECK_INTERVAL_S = 5.0
"""Time between two looks for requests, such as the one to pause."""


class BackgroundUploader:
    """Uploads the changes of a sweep's mirror in a thread.

    Args:
        mirror: The mirror of the sweep that this process runs.
    """

    def __init__(self, mirror: SweepMirror) -> None:
        self.mirror = mirror
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._requests = RequestObjects(mirror.store, mirror.directory)
        self._jobs.put(self._requests.delete_old_answers)
        self._next_upload = 0.0
        self._last_request_check = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True, name="store")
        self._thread.start()

    def tick(self) -> None:
        """Starts an upload of what has changed if one is due; called between steps of Tune."""
        if not self._idle.is_set() or time.monotonic() < self._next_upload:
            return
        changes = self.mirror.read_changes()
        self._next_upload = time.monotonic() + MIN_INTERVAL_S
        if changes:
            self._idle.clear()
            self._jobs.put(lambda: self._upload(changes))

    def delete(self, names: list[str]) -> None:
        """Deletes objects in the background."""
        self._jobs.put(lambda: delete_objects(self.mirror.store, names))

    def send_answer(self, answer: Path) -> None:
        """Uploads the answer to a request in the background, then deletes the request.

        Args:
            answer: Its file; the log with the request has been uploaded by `flush`.
        """
        data = answer.read_bytes()
        self._jobs.put(lambda: self._requests.send_answer(answer.name, data))

    def flush(self) -> None:
        """Uploads what has changed and waits until it is stored.

        Raises:
            StorageError: The store does not accept it.
        """
        self._idle.wait()
        self.mirror.upload(self.mirror.read_changes())

    def close(self) -> None:
        """Ends the thread after it has finished its jobs."""
        self._jobs.put(None)
        self._thread.join()

    def _upload(self, changes: list[Contents]) -> None:
        started = time.monotonic()
        try:
            self.mirror.upload(changes)
        finally:
            duration = time.monotonic() - started
            interval = max(MIN_INTERVAL_S, INTERVAL_PER_UPLOAD_TIME * duration)
            self._next_upload = time.monotonic() + min(interval, MAX_INTERVAL_S)
            self._idle.set()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=REQUEST_CHECK_INTERVAL_S)
            except queue.Empty:
                job = self._check_for_requests
            if job is None:
                return
            try:
                job()
                if time.monotonic() - self._last_request_check > REQUEST_CHECK_INTERVAL_S:
                    self._check_for_requests()
            except (StorageError, OSError) as error:  # of this disk: a request cannot be written
                print_line(f"note: not all of the sweep's files are stored yet: {error}")

    def _check_for_requests(self) -> None:
        """Turns objects that request something into the local files that the driver looks for."""
        self._last_request_check = time.monotonic()
        self._requests.download_new()
        if self.mirror.store.stat(STOP_FILE) is not None:
            (self.mirror.directory / STOP_FILE).touch()
            self.mirror.store.delete([STOP_FILE])


_uploaders: dict[SweepMirror, BackgroundUploader] = {}


def uploader_of(directory: Path) -> BackgroundUploader | None:
    """Returns the uploader of a sweep that this process runs, if it is in object storage."""
    mirror = mirror_of(directory)
    return None if mirror is None else _uploaders.get(mirror)


def publish_events(directory: Path) -> None:
    """Uploads the event log of a sweep that this process runs, before a request takes effect.

    Does nothing for a sweep on a file system.

    Raises:
        StorageError: The store does not accept it.
    """
    uploader = uploader_of(directory)
    if uploader is not None:
        uploader.flush()


def publish_answer(answer: Path) -> None:
    """Sends the answer to a request, if the sweep is in object storage."""
    uploader = uploader_of(answer)
    if uploader is not None:
        uploader.send_answer(answer)


@contextmanager
def background_upload(directory: Path) -> Iterator[None]:
    """Keeps the store of a sweep up to date; does nothing for a sweep on a file system.

    Raises:
        StorageError: The store does not accept the last changes.
    """
    mirror = mirror_of(directory)
    if mirror is None:
        yield
        return
    mirror.store.retry_s = RETRY_S
    uploader = _uploaders[mirror] = BackgroundUploader(mirror)
    try:
        uploader.flush()
        yield
    finally:
        try:
            uploader.flush()
        finally:
            uploader.close()
            del _uploaders[mirror]
