"""One process at a time runs a sweep: a lock in its directory that dies with its holder.

In object storage it is one that is renewed; see `lease`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweeps.storage.lease import StoreLock
from sweeps.storage.location import desk_of, remote_of
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from trainable.storage.object_store import Remote


class SweepRunningError(SweepError):
    """Another process is running the sweep."""


@contextmanager
def sole_owner(directory: Path) -> Iterator[None]:
    """Holds a sweep's directory for this process; a killed process lets go of it.

    Raises:
        SweepRunningError: Another process is running the sweep.
        SweepError: Nothing can be written there.
    """
    remote = remote_of(directory)
    if remote is not None:
        with _sole_owner_of_the_store(directory, remote):
            yield
        return
    lock = FileLock(directory / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SweepRunningError(
            f"{directory} is being run by {_owner(directory)}; to pause it: sweep stop {directory}"
        ) from None
    except OSError as error:
        raise SweepError(f"{directory}: cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _sole_owner_of_the_store(directory: Path, remote: Remote) -> Iterator[None]:
    lock = StoreLock(remote)
    holder = lock.take()
    if holder is not None:
        raise SweepRunningError(
            f"{directory} is being run by {holder}; to pause it: sweep stop {directory}"
        )
    with lock.renewed():
        desk = desk_of(directory)
        assert desk is not None, "a directory with a remote lies on a desk"
        desk.pull()  # another process may have run it a moment ago
        yield


def _owner(directory: Path) -> str:
    record = SweepLayout(directory).read_sweep()
    if record.pid is None:  # it has only just begun
        return "another process"
    return f"process {record.pid} on {record.host}"


def is_running(directory: Path) -> bool:
    """Whether some process is running the sweep.

    Raises:
        SweepError: Nothing can be written there.
    """
    remote = remote_of(directory)
    if remote is not None:
        return StoreLock(remote).holder() is not None
    try:
        with sole_owner(directory):
            return False
    except SweepRunningError:
        return True
