"""One trial's directory on a node's disk, with object storage behind it.

The results of an epoch are in the store before they are reported. The local directory is a copy
for the process that trains: it starts with the content of the store and is deleted when the trial
is closed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from trainable.artifacts.names import CHECKPOINT_FILE, LOG_FILE
from trainable.errors import StorageError
from trainable.storage import scratch
from trainable.storage.mirror import (
    TRAINING_FILES,
    TUNE_CHECKPOINTS,
    WEIGHTS,
    TrainingMirror,
    delete_objects,
)
from trainable.storage.object_store import MAX_THREADS, SHORT_RETRY_S, ObjectStore

log = logging.getLogger(__name__)

DOWNLOADED_FILE = f".fetched{WEIGHTS}"
UPLOADS = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="store")
"""Runs the uploads of a process: one at a time per trial, several trials concurrently."""
KEPT_CHECKPOINTS = 2
"""Tune's checkpoint directories that stay in the store: Tune may not know the newest one yet."""


class StoredTrial:
    """The files of a trial in object storage.

    Args:
        directory: The trial's directory, in the sweep's directory on this node.
        uri: The URI of the sweep.
        donates: Whether other trials may load the trial's checkpoints; all of them stay then until
            the sweep deletes them.
    """

    def __init__(self, directory: Path, uri: str, *, donates: bool) -> None:
        self._directory = directory
        self._uri = uri
        self._donates = donates
        self._mirror: TrainingMirror | None = None
        self._tune_checkpoints: set[str] = set()
        self._delete_local()

    def open(self) -> None:
        """Downloads what the store has; does nothing if the trial is open.

        Raises:
            StorageError: The store cannot be read, or this node has no room.
        """
        if self._mirror is not None:
            return
        scratch.hold(self._directory.parent.parent)
        self._directory.mkdir(parents=True, exist_ok=True)
        store = ObjectStore(self._uri).child(self._directory.name)
        mirror = TrainingMirror(self._directory, store, kept=[TUNE_CHECKPOINTS])
        listed = store.list()
        self._tune_checkpoints = {name for name in listed if Path(name).match(TUNE_CHECKPOINTS)}
        own = {
            name: info
            for name, info in listed.items()
            if name not in self._tune_checkpoints
            and name != LOG_FILE
            and any(Path(name).match(pattern) for pattern in TRAINING_FILES)
        }
        mirror.pull(own)
        if LOG_FILE in listed:
            self._prepend_to_log(store.read(LOG_FILE) or b"")
        self._mirror = mirror

    def upload(self) -> None:
        """Uploads what has changed.

        Raises:
            StorageError: The store does not accept it.
        """
        if self._mirror is not None:
            self._mirror.upload()

    def begin_upload(self) -> Future[None]:
        """Starts `upload` in a thread, while training continues; `close` must wait for it."""
        return UPLOADS.submit(self.upload)

    def upload_checkpoint(self, directory: Path) -> None:
        """Uploads one of Tune's checkpoint directories, too, and deletes old ones.

        Raises:
            StorageError: The store does not accept it.
        """
        self.upload()
        if self._mirror is None:
            return
        self._tune_checkpoints.add(f"{directory.name}/{CHECKPOINT_FILE}")
        if self._donates:
            return
        old = sorted(self._tune_checkpoints)[:-KEPT_CHECKPOINTS]
        delete_objects(self._mirror.store, old)
        for name in old:
            shutil.rmtree((self._directory / name).parent, ignore_errors=True)
        self._tune_checkpoints -= set(old)

    @contextmanager
    def checkpoint_file(self, directory: Path) -> Iterator[Path]:
        """Yields the file of one of Tune's checkpoint directories, of this or another trial.

        Raises:
            StorageError: The store does not have it.
        """
        own = directory / CHECKPOINT_FILE
        if directory.parent == self._directory and own.exists():
            yield own
            return
        self.open()
        name = f"{directory.parent.name}/{directory.name}/{CHECKPOINT_FILE}"
        with self.sweep_file(name) as path:
            yield path

    @contextmanager
    def sweep_file(self, name: str) -> Iterator[Path]:
        """Yields a file of the sweep, by its name in the sweep's directory.

        Raises:
            StorageError: The store does not have it.
        """
        downloaded = self._directory / DOWNLOADED_FILE
        ObjectStore(self._uri).download(name, downloaded)
        try:
            yield downloaded
        finally:
            downloaded.unlink(missing_ok=True)

    def download(self, path: Path) -> None:
        """Downloads a checkpoint of this trial with all its bytes, if there is one."""
        if self._mirror is not None and path.exists():
            self._mirror.download(self._mirror.name_of(path))

    def close(self) -> None:
        """Uploads the last lines of the log, retried only briefly, and deletes local files."""
        if self._mirror is None:
            return
        try:
            self._mirror.store.retry_s = SHORT_RETRY_S
            self.upload()
        except StorageError as error:
            log.warning("not all of the trial's log is stored: %s", error)
        self._mirror = None
        if scratch.has_driver_files(self._directory.parent.parent):
            self._delete_local(WEIGHTS)
        else:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _delete_local(self, suffix: str = "") -> None:
        """Deletes the local files that a process of this trial has left."""
        for pattern in TRAINING_FILES:
            for path in self._directory.glob(pattern):
                if path.name.endswith(suffix):
                    path.unlink(missing_ok=True)

    def _prepend_to_log(self, earlier: bytes) -> None:
        """Inserts earlier log lines before the present ones, in the same file: it is open."""
        path = self._directory / LOG_FILE
        begun = path.read_bytes() if path.exists() else b""
        with path.open("r+b" if begun else "wb") as file:
            file.write(earlier + begun)
