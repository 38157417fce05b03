"""Scratch directories on a node's disk for the local mirrors of object storage.

A scratch directory is `tune-sweeps-UID/RUN` in the system's temporary directory. Every process
that uses it holds a shared lock, which the system releases when the process dies. So the
directories that killed processes left can be recognized and deleted.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO

from trainable.errors import StorageError

LOCK_FILE = ".used"
DRIVER_FILE = ".driver"
"""Exists where the process that created the directory, the driver, has its files, too."""

_held: dict[Path, IO[bytes]] = {}


def create() -> Path:
    """Creates a scratch directory that this process holds; deletes those no process uses."""
    base = Path(tempfile.gettempdir(), f"tune-sweeps-{os.getuid()}").absolute()
    directory = base / secrets.token_hex(4)
    hold(directory)
    (directory / DRIVER_FILE).touch()
    return directory


def hold(directory: Path) -> None:
    """Keeps a scratch directory from being deleted; creates it if it does not exist.

    Raises:
        StorageError: It cannot be created, or the directory above it belongs to another user.
    """
    if directory in _held:
        return
    base = directory.parent
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise StorageError(f"{base}: belongs to another user")
        _remove_unused_in(base)
        lock = _lock(directory)
    except OSError as error:
        raise StorageError(
            f"{directory}: cannot be created on this node: {error.strerror}"
        ) from error
    _held[directory] = lock


def release(directory: Path) -> None:
    """Deletes a scratch directory unless another process uses it."""
    lock = _held.pop(directory, None)
    if lock is not None:
        lock.close()
        _remove_if_unused(directory)


def has_driver_files(directory: Path) -> bool:
    """Returns whether the driver that created a scratch directory keeps its files there, too."""
    return (directory / DRIVER_FILE).exists()


def _lock(directory: Path) -> IO[bytes]:
    while True:
        directory.mkdir(exist_ok=True)
        try:
            lock = (directory / LOCK_FILE).open("wb")
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        if (directory / LOCK_FILE).exists():  # the directory was not deleted just before
            return lock
        lock.close()


def _remove_unused_in(base: Path) -> None:
    for directory in base.iterdir():
        if directory not in _held:
            _remove_if_unused(directory)


def _remove_if_unused(directory: Path) -> None:
    try:
        with (directory / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
    except OSError:  # it is in use, or another process is creating or deleting it
        return
