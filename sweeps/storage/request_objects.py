"""Requests to a sweep in object storage, and their answers.

A client writes a request with one PUT; the driver lists `requests/`, downloads what is new, and
handles it as if it had been written on its own disk. The order in which the driver uploads makes
a request exactly one, wherever it dies:

1. the event log with the request's line, before the request has any effect;
2. the answer;
3. then the request's object is deleted.

A driver that resumes the sweep gets a request that was not deleted again, and answers it from the
log if the log has it.
"""

from __future__ import annotations

import time
from pathlib import Path

from sweeps.sweep_dir.layout import (
    ANSWERS,
    MAX_REQUEST_BYTES,
    REQUEST_FILE,
    REQUESTS,
    expired_answers,
)
from trainable.atomic_files import write_bytes
from trainable.storage.mirror import create_placeholder
from trainable.storage.object_store import ObjectInfo, ObjectStore, run_parallel

MAX_NEW_REQUESTS = 100
"""Most requests that are downloaded after one listing; others follow after the next one."""


class RequestObjects:
    """The objects below `requests/` and `answers/` of a sweep, as its driver handles them.

    Args:
        store: The sweep's directory in object storage.
        directory: Its local mirror.
    """

    def __init__(self, store: ObjectStore, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._downloaded: set[str] = set()
        """Names of requests that are not answered yet."""

    def download_new(self) -> None:
        """Downloads the requests that are not on this disk yet, the oldest first.

        Objects of other names are left alone. One that is too large gets an empty file of its
        size, which the driver refuses by its size.

        Raises:
            StorageError: The store cannot be read.
        """
        listed = self._store.child(REQUESTS).list()
        new = sorted(n for n in listed if REQUEST_FILE.fullmatch(n) and n not in self._downloaded)
        if new:
            (self._directory / REQUESTS).mkdir(mode=0o700, exist_ok=True)
            run_parallel(lambda name: self._download(name, listed[name]), new[:MAX_NEW_REQUESTS])

    def send_answer(self, name: str, answer: bytes) -> None:
        """Uploads an answer, then deletes the request; the log with the request is stored already.

        Args:
            name: File name of both.
            answer: Content of the answer.

        Raises:
            StorageError: The store does not accept it; the request is downloaded once more.
        """
        try:
            self._store.write(f"{ANSWERS}/{name}", answer)
            self._store.delete([f"{REQUESTS}/{name}"])
        finally:
            self._downloaded.discard(name)

    def delete_old_answers(self) -> None:
        """Deletes the answers that no client waits for any longer.

        Raises:
            StorageError: The store cannot be read or written.
        """
        now = time.time()
        times = {
            name: info.time or now  # not every store has times
            for name, info in self._store.child(ANSWERS).list().items()
            if REQUEST_FILE.fullmatch(name)
        }
        self._store.delete(f"{ANSWERS}/{name}" for name in expired_answers(times, now))

    def _download(self, name: str, info: ObjectInfo) -> None:
        path = self._directory / REQUESTS / name
        if info.size > MAX_REQUEST_BYTES:
            create_placeholder(path, info)
        else:
            data = self._store.read(f"{REQUESTS}/{name}")
            if data is None:
                return  # withdrawn meanwhile
            write_bytes(path, data)
        self._downloaded.add(name)
