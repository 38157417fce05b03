"""The sweeps below the directories that `sweep ui` shows; one cache serves every browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sweeps.ui.cached_sweep import CachedSweep, SweepView
from sweeps.ui.discovery import find_sweeps

__all__ = ["CachedSweep", "SweepCache", "SweepView"]

DISCOVERY_INTERVAL_S = 5.0
"""Seconds between two searches of the directories."""
KEEP_S = 600.0
"""How long the trials of a sweep stay in memory after the last page has shown them."""


class SweepCache:
    """The sweeps below directories, by key; methods may be called from several threads.

    Args:
        roots: The directories.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = list(roots)
        self._sweeps: dict[str, CachedSweep] = {}
        self._keys: dict[Path, str] = {}
        """Directory -> its key, which open pages have, so that it is never another one's."""
        self._viewed_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._search_lock = threading.Lock()
        self._searched_at = float("-inf")

    def sweeps(self) -> list[CachedSweep]:
        """Returns every sweep; directories are searched at most every few seconds.

        Raises:
            StorageError: A directory is in object storage that cannot be read.
        """
        is_due = time.monotonic() - self._searched_at > DISCOVERY_INTERVAL_S
        # While another thread searches, what it found before serves, if there is anything.
        if is_due and self._search_lock.acquire(blocking=not self._sweeps):
            try:
                self._search()
            finally:
                self._search_lock.release()
        with self._lock:
            return list(self._sweeps.values())

    def find(self, key: str) -> CachedSweep | None:
        """Returns the sweep with this key; None if there is none."""
        with self._lock:
            if key in self._sweeps:
                return self._sweeps[key]
        return next((sweep for sweep in self.sweeps() if sweep.key == key), None)

    def view(self, key: str) -> SweepView | None:
        """Returns a sweep as its files are now; None if there is no such sweep.

        Raises:
            TuneSweepsError: The sweep has never been readable.
        """
        cached = self.find(key)
        if cached is None:
            return None
        self._viewed_at[key] = time.monotonic()
        return cached.view()

    def _search(self) -> None:
        if time.monotonic() - self._searched_at < DISCOVERY_INTERVAL_S:
            return  # another thread has searched while this one waited
        directories = find_sweeps(self.roots, self._keys)
        self._keys |= {directory: key for key, directory in directories.items()}
        now = time.monotonic()
        with self._lock:
            for key, cached in list(self._sweeps.items()):
                if key not in directories and not cached.directory.is_dir():
                    del self._sweeps[key]
                elif now - self._viewed_at.get(key, float("-inf")) > KEEP_S:
                    cached.forget()
            for key, directory in directories.items():
                if key not in self._sweeps:
                    self._sweeps[key] = CachedSweep(key, directory)
        self._searched_at = now
