"""Places on a node's own disk for what lies in object storage: made, held, and taken away.

A place is a directory `tune-sweeps-UID/RUN` of the system's temporary directory. Processes that
use it hold a lock that dies with them, so that what killed ones have left can be told and goes.
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
"""Says that the process which began the run has its files here, too."""

_held: dict[Path, IO[bytes]] = {}


def new_place() -> Path:
    """Makes a place for a new run, held by this process, and takes away forgotten ones."""
    base = Path(tempfile.gettempdir(), f"tune-sweeps-{os.getuid()}").absolute()
    place = base / secrets.token_hex(4)
    hold(place)
    (place / DRIVER_FILE).touch()
    return place


def hold(place: Path) -> None:
    """Makes a place, if it is not there, and keeps it from being taken away.

    Raises:
        StorageError: It cannot be made, or the directory around it is another user's.
    """
    if place in _held:
        return
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.parent.stat().st_uid != os.getuid():
            raise StorageError(f"{place.parent}: belongs to another user")
        _sweep(place.parent)
        lock = _locked(place)
    except OSError as error:
        raise StorageError(f"{place}: cannot be made on this node: {error.strerror}") from error
    _held[place] = lock


def let_go(place: Path) -> None:
    """Takes a place away, unless another process uses it."""
    lock = _held.pop(place, None)
    if lock is not None:
        lock.close()
        _remove_if_unused(place)


def is_of_the_driver(place: Path) -> bool:
    """Whether the process that began the run has its files here, too."""
    return (place / DRIVER_FILE).exists()


def _locked(place: Path) -> IO[bytes]:
    while True:
        place.mkdir(exist_ok=True)
        try:
            lock = (place / LOCK_FILE).open("wb")
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        if (place / LOCK_FILE).exists():  # it was not taken away just before
            return lock
        lock.close()


def _sweep(base: Path) -> None:
    for place in base.iterdir():
        if place not in _held:
            _remove_if_unused(place)


def _remove_if_unused(place: Path) -> None:
    try:
        with (place / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
    except OSError:  # it is in use, or just being made or taken away
        return
