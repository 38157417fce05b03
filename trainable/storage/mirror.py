"""Local mirror of a directory in object storage.

Small files are downloaded. Weights are placeholders until they are needed: empty files with the
size and time of the object, which take no room on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from trainable.artifacts.names import (
    ABANDONED,
    CHECKPOINT_FILE,
    CHECKPOINTS,
    CLASSES_FILE,
    CONFIG_FILE,
    LATEST_FILE,
    LOG_FILE,
    METRICS_FILE,
    SPLIT_TABLE,
    TENSORBOARD,
)
from trainable.storage.object_store import ObjectInfo, ObjectStore, run_parallel

TUNE_CHECKPOINTS = f"checkpoint_*/{CHECKPOINT_FILE}"
TRAINING_FILES = (
    CONFIG_FILE,
    METRICS_FILE,
    CLASSES_FILE,
    SPLIT_TABLE,
    LOG_FILE,
    f"{TENSORBOARD}/*",
    f"{CHECKPOINTS}/*.pt",
    TUNE_CHECKPOINTS,
    f"{ABANDONED}*/{CONFIG_FILE}",
    f"{ABANDONED}*/{TENSORBOARD}/*",
    f"{ABANDONED}*/{CHECKPOINTS}/*.pt",
)
"""Files that the process of a training writes; other processes write all others."""
WEIGHTS = ".pt"

Fingerprint = tuple[int, int, int]
"""Inode, time and size of a file: equal for two names of one file, different for other content."""


class Mirror:
    """Local mirror of a directory in object storage.

    Args:
        directory: The local directory.
        store: The directory in object storage.
    """

    def __init__(self, directory: Path, store: ObjectStore) -> None:
        self.directory = directory
        self.store = store
        self._stored: dict[str, Fingerprint] = {}
        """Fingerprints of the local files whose content is in the store."""

    def name_of(self, path: Path) -> str:
        """Returns the name in the store of a local path."""
        return path.absolute().relative_to(self.directory).as_posix()

    def download(self, name: str) -> Path:
        """Downloads an object with all its bytes; returns the local file."""
        path = self.directory / name
        self.store.download(name, path)
        self._mark_stored(name)
        return path

    def is_stored(self, name: str, fingerprint: Fingerprint) -> bool:
        """Returns whether the store has this content of a local file."""
        return self._stored.get(name) == fingerprint

    def _mark_stored(self, name: str) -> None:
        """Records that the store has the present content of a local file."""
        self._stored[name] = fingerprint_of(self.directory / name)


class TrainingMirror(Mirror):
    """Mirror of the files that one training writes; changes are uploaded.

    A checkpoint has several names for one file: its content is uploaded once, and the store copies
    it to the other names.

    Args:
        directory: The local directory.
        store: The directory in object storage.
        kept: Patterns of the objects that stay when their local files are deleted.
    """

    def __init__(self, directory: Path, store: ObjectStore, kept: Iterable[str] = ()) -> None:
        super().__init__(directory, store)
        self._kept = tuple(kept)

    def pull(self, listed: Mapping[str, ObjectInfo]) -> None:
        """Downloads objects; of weights it only creates placeholders.

        Args:
            listed: The objects.

        Raises:
            StorageError: An object cannot be read.
        """
        run_parallel(self.download, [name for name in listed if not name.endswith(WEIGHTS)])
        for name, info in listed.items():
            if name.endswith(WEIGHTS):
                create_placeholder(self.directory / name, info)
                self._mark_stored(name)

    def upload(self) -> None:
        """Uploads what has changed, and deletes the objects whose local files are gone.

        Weights are uploaded last and `latest.pt` after all others: a process that reads the store
        meanwhile, or after a kill, finds the metrics and the other names that belong to it.

        Raises:
            StorageError: The store does not accept it.
        """
        present = self._fingerprints()
        changed = [name for name in present if not self.is_stored(name, present[name])]
        run_parallel(
            lambda name: self._upload_file(name, present[name]),
            [name for name in changed if not name.endswith(WEIGHTS)],
        )
        weights = sorted(name for name in changed if name.endswith(WEIGHTS))
        for name in sorted(weights, key=lambda name: name.endswith(LATEST_FILE)):
            self._upload_file(name, present[name])
        gone = [name for name in self._stored if name not in present]
        self.store.delete(name for name in gone if not _matches(name, self._kept))
        for name in gone:
            del self._stored[name]

    def _upload_file(self, name: str, fingerprint: Fingerprint) -> None:
        twin = self._find_twin(name, fingerprint)
        if twin is not None:
            self.store.copy(twin, name)
        else:
            path = self.directory / name
            try:
                if name.endswith(WEIGHTS) and is_placeholder(path):
                    return  # another process's
                self.store.upload(path, name)
            except FileNotFoundError:
                return  # deleted in the meantime
        self._stored[name] = fingerprint

    def _find_twin(self, name: str, fingerprint: Fingerprint) -> str | None:
        """Returns another name of the same file whose content is in the store."""
        stored = list(self._stored.items())  # a copy: other threads add to it
        return next((n for n, f in stored if f == fingerprint and n != name), None)

    def _fingerprints(self) -> dict[str, Fingerprint]:
        fingerprints = {}
        for pattern in TRAINING_FILES:
            for path in self.directory.glob(pattern):
                if not path.name.startswith("."):
                    with suppress(FileNotFoundError):
                        fingerprints[self.name_of(path)] = fingerprint_of(path)
        return fingerprints


def delete_objects(store: ObjectStore, names: Iterable[str]) -> None:
    """Deletes objects, and with a checkpoint of Tune's its directory, too.

    Raises:
        StorageError: The store does not accept it.
    """
    all_names = list(names)
    checkpoints = [name for name in all_names if _matches(name, [TUNE_CHECKPOINTS])]
    run_parallel(store.delete_directory, [name.rpartition("/")[0] for name in checkpoints])
    store.delete(name for name in all_names if name not in checkpoints)


def create_placeholder(path: Path, info: ObjectInfo) -> None:
    """Creates an empty file with an object's size and time, which takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(info.size)
    os.utime(path, (info.time, info.time))


def is_placeholder(path: Path) -> bool:
    """Returns whether a file has none of the bytes of its object."""
    stat = path.stat()
    return stat.st_size > 0 and stat.st_blocks == 0


def fingerprint_of(path: Path) -> Fingerprint:
    """Returns what distinguishes a file's content from that of other files."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)
