"""Locks: one process builds what others wait for, and files show that a process uses them.

The system releases a lock if the process dies.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 1.0
"""Interval at which a process looks whether it can stop waiting for another one."""
LINE_INTERVAL_S = 30.0
"""Seconds between lines for the user."""

OnEvent = Callable[[str], None]


@contextmanager
def building_alone(target: Path, describe: Callable[[], str], report: OnEvent) -> Iterator[None]:
    """Holds the lock of a file or directory that is to be built; others wait for it.

    Where there are no locks, two processes build the same one, so it must be renamed into place.

    Args:
        target: The file or directory; the lock is a file beside it.
        describe: Returns which process another one waits for, and what that does.
        report: Called with a line now and then while this process waits.
    """
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    next_line = time.monotonic()
    while not lock.is_locked:
        try:
            lock.acquire(timeout=POLL_S)
        except Timeout:
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_INTERVAL_S
                report(f"waiting for {describe()}")
        except (OSError, NotImplementedError):
            break
    try:
        yield
        with suppress(OSError):  # what is built needs no lock, also for those who wait
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


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
