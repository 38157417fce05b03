"""One process at a time runs a sweep: a lock in its directory that dies with its holder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweeps.layout import LOCK_FILE, SweepError, SweepLayout


@contextmanager
def sole_owner(directory: Path) -> Iterator[None]:
    """Holds a sweep's directory for this process; a killed process lets go of it.

    Raises:
        SweepError: Another process is running the sweep.
    """
    lock = FileLock(directory / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        record = SweepLayout(directory).read_sweep()
        raise SweepError(
            f"{directory} is being run by process {record.pid} on {record.host}; "
            f"to pause it: sweep stop {directory}"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_running(directory: Path) -> bool:
    """Whether some process is running the sweep."""
    try:
        with sole_owner(directory):
            return False
    except SweepError:
        return True
