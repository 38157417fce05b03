"""Open files, and locks on them that show that a process uses them.

The system releases a lock if the process dies.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path


class OpenFile:
    """A file descriptor that is closed with this object, and with it the lock that it holds."""

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self.descriptor = os.open(path, flags)
        self.close = weakref.finalize(self, os.close, self.descriptor)


def try_lock(path: Path, *, shared: bool) -> OpenFile | None:
    """Locks a file without waiting.

    Args:
        path: An existing file.
        shared: Whether other processes may hold a shared lock at the same time.

    Returns:
        None if another process holds a lock that excludes this one, or if the file does not exist.
        Where the file system has no locks, every process gets one.
    """
    try:
        file = OpenFile(path, os.O_RDONLY if shared else os.O_RDWR)
    except OSError:
        return None
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file.descriptor, kind | fcntl.LOCK_NB)
        is_same = path.stat().st_ino == os.fstat(file.descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        is_same = False
    except OSError:
        is_same = True
    if not is_same:
        file.close()
        return None
    return file
