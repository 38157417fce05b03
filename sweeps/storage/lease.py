"""A lease on a sweep in object storage, so that only one driver runs it at a time.

Stores have no locks that are released when their holder dies. A lease therefore expires unless it
is renewed; the lease of a dead process on this machine is free immediately.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sweeps.sweep_dir.layout import LOCK_FILE
from sweeps.terminal.console import print_error
from trainable.errors import StorageError
from trainable.storage.object_store import ObjectStore

RENEWAL_INTERVAL_S, EXPIRY_S = 30.0, 90.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease."""

    host: str
    pid: int
    machine: str
    """Identifies the machine and container in which `pid` is valid."""
    token: str
    """Random; tells leases of one process apart."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended; False if it runs on another machine."""
        return self.machine == _machine() and not Path(f"/proc/{self.pid}").exists()


class Lease:
    """The lease on a sweep.

    Args:
        store: The sweep's directory in object storage.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._self = Holder(platform.node(), os.getpid(), _machine(), secrets.token_hex(8))

    def holder(self) -> Holder | None:
        """Returns the present holder, or None if the lease is free.

        Raises:
            StorageError: The store cannot be read.
        """
        holder = self._read()
        if holder is None or holder.is_dead:
            return None
        # Both times are the store's: the clocks of two machines may differ.
        probe = f"{LOCK_FILE}.{secrets.token_hex(4)}"
        self._store.write(probe, b"")
        renewed, now = self._store.stat(LOCK_FILE), self._store.stat(probe)
        self._store.delete([probe])
        if renewed is None or now is None:
            return None
        return holder if now.time - renewed.time < EXPIRY_S else None

    def acquire(self) -> Holder | None:
        """Acquires the lease if it is free; otherwise returns its holder.

        Raises:
            StorageError: The store cannot be read or written.
        """
        other = self.holder()
        if other is not None:
            return other
        return None if self._store.claim(LOCK_FILE, self._content()) else self._read()

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renews the lease until the context ends, then releases it."""
        done = threading.Event()
        renewal = threading.Thread(target=self._renew_until, args=[done], daemon=True, name="lock")
        renewal.start()
        try:
            yield
        finally:
            done.set()
            renewal.join()
            with suppress(StorageError):  # it expires then
                if self._read() == self._self:
                    self._store.delete([LOCK_FILE])

    def _renew_until(self, done: threading.Event) -> None:
        while not done.wait(RENEWAL_INTERVAL_S):
            try:
                holder = self._read()
                if holder is not None and holder != self._self:
                    print_error(f"{self._store.uri}: {holder} has taken over; this process pauses")
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._store.write(LOCK_FILE, self._content())
            except StorageError as error:
                print_error(f"note: the sweep's lock cannot be renewed: {error}")

    def _read(self) -> Holder | None:
        data = self._store.read(LOCK_FILE)
        if not data:
            return None
        try:
            return Holder(**json.loads(data))
        except (TypeError, ValueError):
            return Holder("an unknown machine", 0, "", "")

    def _content(self) -> bytes:
        return json.dumps(asdict(self._self)).encode()


def _machine() -> str:
    parts = []
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
    return " ".join(parts)
