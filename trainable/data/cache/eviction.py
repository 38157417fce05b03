"""Deletes caches that are no longer used, and what builders that died have left."""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainable.data.cache.entry import USED_FILE
from trainable.data.cache.locks import try_lock

PART = ".part-"
"""Directories that are being built, or deleted, are called `KEY.part-HOST-PID-RANDOM`."""
PROGRESS_FILE = "progress.json"
"""The builder holds an exclusive lock on it."""
CREATION_S = 60.0
"""Age up to which a directory without that file may belong to a builder that has just begun."""
DAY_S = 86400.0
RECENT_S = DAY_S
"""Caches used within this time are never deleted."""
OLD_S = 30 * DAY_S
"""Caches not used for this time are deleted."""


@dataclass(frozen=True)
class _Cache:
    directory: Path
    age: float
    """Seconds since the last use."""
    size: int
    """Bytes."""


def new_part(folder: Path, key: str) -> Path:
    """Creates a directory to build a cache in.

    Raises:
        OSError: The folder cannot be written to.
    """
    part = _part_name(folder, key)
    part.mkdir()
    return part


def _part_name(folder: Path, key: str) -> Path:
    return folder / f"{key}{PART}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def find_parts(folder: Path, key: str = "") -> list[Path]:
    """Returns the directories that are being built, of one cache or of all."""
    return [*folder.glob(f"{key or '*'}{PART}*")]


def remove_dead_parts(folder: Path) -> None:
    """Deletes the directories of builders that have died.

    A builder of this host holds a lock while it lives. Those of other hosts, whose locks this one
    may not see, are given a day without progress.
    """
    for part in find_parts(folder):
        is_local = part.name.partition(PART)[2].startswith(f"{_host()}-")
        if (is_local and not _is_locked(part)) or _age(part) > DAY_S:
            shutil.rmtree(part, ignore_errors=True)


def _is_locked(part: Path) -> bool:
    if not (part / PROGRESS_FILE).exists():
        return _age(part) < CREATION_S
    lock = try_lock(part / PROGRESS_FILE, shared=False)
    if lock is not None:
        lock.close()
    return lock is None


def evict(folder: Path, limit: int, needed: int = 0) -> None:
    """Deletes caches: those not used for long, and the oldest ones beyond a size.

    Caches that are in use, or were used within a day, stay.

    Args:
        folder: The folder of all caches.
        limit: Bytes that all may have together.
        needed: Bytes of a new one, which are to be free.
    """
    caches = sorted(list_caches(folder), key=lambda cache: -cache.age)
    total = sum(cache.size for cache in caches) + needed
    for cache in caches:
        is_short = total > limit or (needed and shutil.disk_usage(folder).free < needed)
        is_unwanted = cache.age > RECENT_S and (is_short or cache.age > OLD_S)
        if is_unwanted and remove(cache.directory):
            total -= cache.size


def remove(directory: Path) -> bool:
    """Deletes a cache that no process of this host uses; returns whether it has."""
    lock = try_lock(directory / USED_FILE, shared=False)
    if lock is None:
        return False
    discard(directory)
    lock.close()
    return True


def discard(directory: Path) -> None:
    """Deletes a cache; processes that use it read on, since their mapping keeps the file.

    It is renamed first, so that no process finds half of it.
    """
    grave = _part_name(directory.parent, directory.name)
    with suppress(FileNotFoundError):
        directory.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def list_caches(folder: Path) -> Iterator[_Cache]:
    """Yields the whole caches in a folder."""
    for directory in folder.iterdir():
        if PART in directory.name:
            continue
        with suppress(OSError):  # deleted meanwhile, or no cache
            used = (directory / USED_FILE).stat().st_mtime
            size = sum(file.stat().st_size for file in directory.iterdir())
            yield _Cache(directory, time.time() - used, size)


def _age(part: Path) -> float:
    """Returns the seconds since the last progress of a builder."""
    times = [0.0]
    for path in (part, part / PROGRESS_FILE):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return time.time() - max(times)


def _host() -> str:
    return socket.gethostname().replace("/", "_")
