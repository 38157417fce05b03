"""The experiment directory of a single training whose `checkpoint.dir` is in object storage."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE, automatic_name
from trainable.config import TrainConfig
from trainable.errors import ExperimentError
from trainable.storage import scratch
from trainable.storage.mirror import TrainingMirror
from trainable.storage.object_store import SHORT_RETRY_S, ObjectStore
from trainable.uri import child_uri, expand_home, is_uri, parent_uri

CLAIM_FILE = ".claim"


class StoredExperiment:
    """An experiment directory in object storage, with its local mirror.

    Args:
        config: The training's config; its `checkpoint.dir` is a URI.
        now: The time in an automatic name.

    Raises:
        ExperimentError: An experiment of the custom name already exists.
        StorageError: The store cannot be read or written.
    """

    def __init__(self, config: TrainConfig, now: datetime) -> None:
        base, name = config.checkpoint.dir, config.checkpoint.experiment_name
        self._store = (
            _open_custom(config) if name else _create_unique(base, automatic_name(config, now))
        )
        self.uri = self._store.uri
        self._scratch = scratch.create()
        self.directory = self._scratch / self._store.name
        (self.directory / CHECKPOINTS).mkdir(parents=True)
        self._mirror = TrainingMirror(self.directory, self._store)
        listed = self._store.list()
        self._mirror.pull({name: info for name, info in listed.items() if name != CLAIM_FILE})

    def download(self, path: Path) -> Path:
        """Downloads a checkpoint of the experiment with all its bytes; returns its path.

        Raises:
            StorageError: The store cannot be read.
        """
        return self._mirror.download(self._mirror.name_of(path))

    def upload(self) -> None:
        """Uploads what has changed.

        Raises:
            StorageError: The store does not accept it; it is still in `directory`.
        """
        self._mirror.upload()
        self._store.delete([CLAIM_FILE])

    def abandon(self) -> None:
        """Gives up the claim of an experiment without any file."""
        self._store.delete([CLAIM_FILE])
        scratch.release(self._scratch)

    def close(self) -> None:
        """Uploads the rest and deletes the local files.

        Raises:
            StorageError: The store does not accept it; it is still in `directory`.
        """
        self.upload()
        scratch.release(self._scratch)


def _create_unique(base: str, name: str) -> ObjectStore:
    for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(2))):
        store = ObjectStore(child_uri(base, f"{name}{suffix}"))
        if _claim_empty(store):
            return store
    raise AssertionError("itertools.count never ends")


def _open_custom(config: TrainConfig) -> ObjectStore:
    store = ObjectStore(child_uri(config.checkpoint.dir, config.checkpoint.experiment_name))
    resume = config.checkpoint.resume
    latest = child_uri(store.uri, f"{CHECKPOINTS}/{LATEST_FILE}")
    continues = resume is not None and parent_uri(resume)[0] == parent_uri(latest)[0]
    if not continues and not _claim_empty(store):
        raise ExperimentError(
            f"{store.uri} already holds an experiment; set checkpoint.resume to {latest} to "
            "continue it, or choose another checkpoint.experiment_name"
        )
    return store


def _claim_empty(store: ObjectStore) -> bool:
    """Claims a directory for a new experiment; returns False if it is another training's."""
    return not store.list() and store.claim(CLAIM_FILE, secrets.token_hex(8).encode())


@contextmanager
def local_file(path: str) -> Iterator[Path]:
    """Yields a local file; one in object storage is downloaded, and deleted afterwards.

    Args:
        path: The file's path or URI.

    Raises:
        StorageError: There is no such object, or the store cannot be read.
    """
    if not is_uri(path):
        yield Path(expand_home(path))
        return
    folder, name = parent_uri(path)
    store = ObjectStore(folder, retry_s=SHORT_RETRY_S)
    directory = scratch.create()
    try:
        store.download(name, directory / name)
        yield directory / name
    finally:
        scratch.release(directory)


def file_beside(location: str, local: Path, name: str) -> Path | None:
    """Returns the file with another name in the directory of a file, or None if there is none.

    Args:
        location: The path or URI that was given to `local_file`.
        local: The local file that it yielded; a file in object storage is downloaded beside it.
        name: The name of the other file.

    Raises:
        StorageError: The store cannot be read.
    """
    path = local.with_name(name)
    if is_uri(location) and not path.exists():
        store = ObjectStore(parent_uri(location)[0], retry_s=SHORT_RETRY_S)
        if store.stat(name) is not None:
            store.download(name, path)
    return path if path.exists() else None
