"""A directory and its image in object storage: what is new goes there, each content once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from trainable.artifacts.names import (
    CHECKPOINT_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    LATEST_FILE,
    LOG_FILE,
    METRICS_FILE,
    TENSORBOARD,
)
from trainable.storage.object_store import Remote, Stored, at_once

OF_TUNE = f"checkpoint_*/{CHECKPOINT_FILE}"
OF_A_TRAINING = (
    CONFIG_FILE,
    METRICS_FILE,
    LOG_FILE,
    f"{TENSORBOARD}/*",
    f"{CHECKPOINTS}/*.pt",
    OF_TUNE,
)
"""The names that the process of a training writes; whatever else is there is another's."""
WEIGHTS = ".pt"

Mark = tuple[int, int, int]
"""Inode, time and size: another content has another one, another name of the same has the same."""


class Mirror:
    """Keeps the image of a directory current.

    Names of one file, as every checkpoint has several, are sent once: the store copies the rest.

    Args:
        local: The directory.
        remote: Where its image is.
        patterns: What of it is mirrored.
        kept: What of that stays in the image when it goes here.
    """

    def __init__(
        self, local: Path, remote: Remote, patterns: Iterable[str], kept: Iterable[str] = ()
    ) -> None:
        self._local = local
        self._remote = remote
        self._patterns = tuple(patterns)
        self._kept = tuple(kept)
        self._there: dict[str, Mark] = {}
        """What of the present files is in the image."""

    def push(self) -> None:
        """Brings what has changed into the image, and takes away what is gone.

        Weights come last and `latest.pt` as the very last: whoever reads the image meanwhile, or
        after a kill, finds its metrics and its other names there.

        Raises:
            StorageError: The store does not take it.
        """
        found = self._found()
        changed = [name for name in found if self._there.get(name) != found[name]]
        at_once(
            lambda name: self._send(name, found[name]),
            [name for name in changed if not name.endswith(WEIGHTS)],
        )
        weights = sorted(name for name in changed if name.endswith(WEIGHTS))
        for name in sorted(weights, key=lambda name: name.endswith(LATEST_FILE)):
            self._send(name, found[name])
        gone = [name for name in self._there if name not in found]
        kept = {name for name in gone if _fits(name, self._kept)}
        self._remote.delete(name for name in gone if name not in kept)
        for name in gone:
            del self._there[name]

    def pull(self, listed: Mapping[str, Stored]) -> None:
        """Makes files of the image's objects, and of weights empty ones that stand for them.

        Such a file has the object's size and time but none of its bytes; `bring` gets them.

        Args:
            listed: The objects.

        Raises:
            StorageError: The store does not give them.
        """
        at_once(self.bring, [name for name in listed if not name.endswith(WEIGHTS)])
        for name, stored in listed.items():
            if name.endswith(WEIGHTS):
                stand_in(self._local / name, stored)
                self.is_there(name)

    def bring(self, name: str) -> Path:
        """Gets an object with all its bytes."""
        self._remote.download(name, self._local / name)
        self.is_there(name)
        return self._local / name

    def is_there(self, name: str) -> None:
        """Takes a file as it is now for what the image has."""
        self._there[name] = mark_of(self._local / name)

    def _send(self, name: str, mark: Mark) -> None:
        twin = next((n for n, m in self._there.items() if m == mark and n != name), None)
        if twin is not None:
            self._remote.copy(twin, name)
        else:
            try:
                if name.endswith(WEIGHTS) and is_stand_in(self._local / name):
                    return  # another process's
                self._remote.upload(self._local / name, name)
            except FileNotFoundError:
                return  # gone in the meantime
        self._there[name] = mark

    def _found(self) -> dict[str, Mark]:
        found = {}
        for path in (path for pattern in self._patterns for path in self._local.glob(pattern)):
            if not path.name.startswith("."):
                try:
                    found[path.relative_to(self._local).as_posix()] = mark_of(path)
                except FileNotFoundError:
                    continue
        return found


def stand_in(path: Path, stored: Stored) -> None:
    """Makes an empty file with an object's size and time: it takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(stored.size)
    os.utime(path, (stored.time, stored.time))


def is_stand_in(path: Path) -> bool:
    """Whether a file has none of the bytes that it stands for."""
    stat = path.stat()
    return stat.st_size > 0 and stat.st_blocks == 0


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


def mark_of(path: Path) -> Mark:
    """What tells a file's content from another one's."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
