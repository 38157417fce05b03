"""One trial's directory on a node's own disk, with object storage behind it.

What a trial leaves is in the store before anyone hears of it. What is here is a copy for the
process that trains: it begins with what the store has and goes when the process lets go.
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
from trainable.storage.mirror import OF_A_TRAINING, OF_TUNE, WEIGHTS, Mirror
from trainable.storage.object_store import SHORT_PATIENCE_S, THREADS, Remote

log = logging.getLogger(__name__)

FETCHED = ".fetched" + WEIGHTS
SENDER = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
"""Sends what trials have left: one at a time of each, several of a process."""
KEPT = 2
"""Of Tune's checkpoint directories in the store: Tune may not have heard of the newest yet."""


class StoredTrial:
    """The files of a trial that lie in object storage.

    Args:
        directory: The trial's, in the sweep's directory on this node.
        uri: The sweep's address.
        donates: Whether other trials may load its checkpoints: then all of them stay until the
            sweep deletes them.
    """

    def __init__(self, directory: Path, uri: str, *, donates: bool) -> None:
        self._directory = directory
        self._uri = uri
        self._donates = donates
        self._remote: Remote | None = None
        self._mirror: Mirror | None = None
        self._states: set[str] = set()
        self._clear()

    def open(self) -> None:
        """Begins with what the store has; does nothing the second time.

        Raises:
            StorageError: The store does not answer, or this node has no room.
        """
        if self._mirror is not None:
            return
        scratch.hold(self._directory.parent.parent)
        self._directory.mkdir(parents=True, exist_ok=True)
        remote = Remote(self._uri).child(self._directory.name)
        mirror = Mirror(self._directory, remote, OF_A_TRAINING, kept=[OF_TUNE])
        listed = remote.list()
        self._states = {name for name in listed if Path(name).match(OF_TUNE)}
        mine = {
            name: stored
            for name, stored in listed.items()
            if name not in self._states
            and name != LOG_FILE
            and any(Path(name).match(pattern) for pattern in OF_A_TRAINING)
        }
        mirror.pull(mine)
        if LOG_FILE in listed:
            self._prepend(remote.read(LOG_FILE) or b"")
        self._remote, self._mirror = remote, mirror

    def push(self) -> None:
        """Brings what is new into the store.

        Raises:
            StorageError: The store does not take it.
        """
        if self._mirror is not None:
            self._mirror.push()

    def begin_push(self) -> Future[None]:
        """`push`, in the course of which the training may go on; it must not be closed before."""
        return SENDER.submit(self.push)

    def push_state(self, directory: Path) -> None:
        """Brings a checkpoint directory of Tune's into the store, too; old ones go.

        Raises:
            StorageError: The store does not take it.
        """
        self.push()
        if self._remote is None:
            return
        self._states.add(f"{directory.name}/{CHECKPOINT_FILE}")
        if self._donates:
            return
        old = sorted(self._states)[:-KEPT]
        self._remote.delete(old)
        for name in old:
            shutil.rmtree((self._directory / name).parent, ignore_errors=True)
        self._states -= set(old)

    @contextmanager
    def fetched(self, directory: Path) -> Iterator[Path]:
        """The file of a checkpoint directory of Tune's, this trial's or another's.

        Raises:
            StorageError: The store does not have it.
        """
        own = directory / CHECKPOINT_FILE
        if directory.parent == self._directory and own.exists():
            yield own
            return
        self.open()
        found = self._directory / FETCHED
        name = f"{directory.parent.name}/{directory.name}/{CHECKPOINT_FILE}"
        Remote(self._uri).download(name, found)
        try:
            yield found
        finally:
            found.unlink(missing_ok=True)

    def bring(self, path: Path) -> None:
        """Gets a checkpoint of this trial with all its bytes, if there is one."""
        if self._mirror is not None and path.exists():
            self._mirror.bring(path.relative_to(self._directory).as_posix())

    def close(self) -> None:
        """Takes away what is in the store; a last line of a log is tried for a short while."""
        if self._mirror is None:
            return
        try:
            assert self._remote is not None
            self._remote.patience_s = SHORT_PATIENCE_S
            self.push()
        except StorageError as error:
            log.warning("not all of the trial's log is stored: %s", error)
        self._remote = self._mirror = None
        if scratch.is_of_the_driver(self._directory.parent.parent):
            self._clear(WEIGHTS)
        else:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _clear(self, suffix: str = "") -> None:
        """Deletes what a process of this trial has left here."""
        for pattern in OF_A_TRAINING:
            for path in self._directory.glob(pattern):
                if path.name.endswith(suffix):
                    path.unlink(missing_ok=True)

    def _prepend(self, earlier: bytes) -> None:
        """Puts the log so far before what is there, in the same file: it is open already."""
        path = self._directory / LOG_FILE
        begun = path.read_bytes() if path.exists() else b""
        with path.open("r+b" if begun else "wb") as file:
            file.write(earlier + begun)
