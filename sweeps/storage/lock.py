"""The lock on a sweep, so that only one driver runs it at a time.

On a file system it is a lock file that the system releases when the driver dies; in object storage
it is a lease that the driver renews (see `lease`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweeps.storage.lease import Lease
from sweeps.storage.location import mirror_of, store_of
from sweeps.sweep_dir.errors import SweepError, SweepRunningError
from sweeps.sweep_dir.layout import LOCK_FILE, STOP_FILE, SweepLayout
from sweeps.terminal.commands import sweep_command
from trainable.storage.object_store import ObjectStore


@contextmanager
def sweep_lock(directory: Path) -> Iterator[None]:
    """Holds the lock of a sweep; it is released if the process dies.

    Raises:
        SweepRunningError: Another process is running the sweep.
        SweepError: The directory is not writable.
    """
    store = store_of(directory)
    if store is not None:
        with _hold_lease(directory, store):
            yield
        return
    lock = FileLock(directory / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SweepRunningError(_describe_driver(directory, _recorded_driver(directory))) from None
    except OSError as error:
        raise SweepError(f"{directory}: cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _hold_lease(directory: Path, store: ObjectStore) -> Iterator[None]:
    lease = Lease(store)
    holder = lease.acquire()
    if holder is not None:
        raise SweepRunningError(_describe_driver(directory, str(holder)))
    with lease.renewed():
        store.delete([STOP_FILE])  # a request that the previous driver did not handle
        mirror = mirror_of(directory)
        assert mirror is not None, "a directory with a store is in a mirror"
        mirror.pull()  # another process may have run the sweep just before
        yield


def _describe_driver(directory: Path, driver: str) -> str:
    pause = sweep_command("pause", directory)
    return f"{directory} is being run by {driver}; to pause it: {pause}"


def _recorded_driver(directory: Path) -> str:
    record = SweepLayout(directory).read_sweep()
    if record.pid is None:  # the driver has only just started
        return "another process"
    return f"process {record.pid} on {record.host}"


def is_running(directory: Path) -> bool:
    """Returns whether a process is running the sweep.

    Raises:
        SweepError: The directory is not writable.
    """
    store = store_of(directory)
    if store is not None:
        return Lease(store).holder() is not None
    try:
        with sweep_lock(directory):
            return False
    except SweepRunningError:
        return True
