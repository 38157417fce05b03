"""One process at a time runs a sweep in object storage: a lock that is renewed while it is held.

A store has no locks that die with their holder. A lock that has not been renewed for a while is
nobody's; that of a dead process of this machine is nobody's at once.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sweeps.sweep_dir.layout import LOCK_FILE
from sweeps.terminal.console import print_error
from trainable.errors import StorageError
from trainable.storage.object_store import Remote

RENEWED_S, STALE_S = 30.0, 90.0
SETTLED_S = 1.0
"""Of two processes that take a lock at the same time the later one has it, seen after so long."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    host: str
    pid: int
    machine: str
    """Tells machines and containers apart, in which process ids mean something."""
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended; of another machine nothing is known."""
        return self.machine == _machine() and not Path(f"/proc/{self.pid}").exists()


class StoreLock:
    """The lock of a sweep.

    Args:
        remote: The sweep's directory in the store.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._me = Holder(platform.node(), os.getpid(), _machine(), secrets.token_hex(8))

    def holder(self) -> Holder | None:
        """Who holds it, if anybody does.

        Raises:
            StorageError: The store does not answer.
        """
        found = self._read()
        if found is None or found.is_dead:
            return None
        # By the store's clock: those of two machines may differ.
        now = f"{LOCK_FILE}.{secrets.token_hex(4)}"
        self._remote.write(now, b"")
        times = [self._remote.stat(name) for name in (LOCK_FILE, now)]
        self._remote.delete([now])
        if times[0] is None or times[1] is None:
            return None
        return found if times[1].time - times[0].time < STALE_S else None

    def take(self) -> Holder | None:
        """Takes it if it is free; else returns who holds it.

        Raises:
            StorageError: The store does not answer or cannot be written to.
        """
        other = self.holder()
        if other is not None:
            return other
        self._write()
        time.sleep(SETTLED_S)
        now = self._read()
        return None if now == self._me else now

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Holds it, and lets go of it in the end."""
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=[over], daemon=True, name="lock")
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            with suppress(StorageError):  # then it is nobody's in a while
                if self._read() == self._me:
                    self._remote.delete([LOCK_FILE])

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(RENEWED_S):
            try:
                now = self._read()
                if now is not None and now != self._me:
                    print_error(f"{self._remote.uri}: {now} has taken over; this process pauses")
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._write()
            except StorageError as error:
                print_error(f"note: the sweep's lock cannot be renewed: {error}")

    def _read(self) -> Holder | None:
        data = self._remote.read(LOCK_FILE)
        if not data:
            return None
        try:
            return Holder(**json.loads(data))
        except (TypeError, ValueError):
            return Holder("an unknown machine", 0, "", "")

    def _write(self) -> None:
        self._remote.write(LOCK_FILE, json.dumps(asdict(self._me)).encode())


def _machine() -> str:
    parts = []
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
    return " ".join(parts)
