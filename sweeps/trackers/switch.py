"""Turns the trackers of a sweep that this process runs on and off; imports nothing until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout

if TYPE_CHECKING:
    from sweeps.trackers.reporting import Trackers


class TrackerSwitch:
    """The trackers of a sweep, none of which may be on.

    Args:
        directory: The sweep directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._trackers: Trackers | None = None

    def configure(self, spec: SearchSpec) -> None:
        """Reports to the trackers of a search file from now on, with all epochs so far."""
        if self._trackers is None:
            if not spec.log_to.trackers:
                return
            from sweeps.trackers.reporting import Trackers

            self._trackers = Trackers(self._directory)
        self._trackers.configure(spec)

    def wake(self, trial: str) -> None:
        """Notes that a trial's files have changed; takes microseconds.

        Args:
            trial: The name of the trial's directory.
        """
        if self._trackers is not None:
            self._trackers.wake(trial)

    def close(self, state: str) -> None:
        """Sends what is left, for a limited time, and says what could not be sent.

        Args:
            state: The state of the sweep.
        """
        if self._trackers is not None:
            self._trackers.close(state)


_active: dict[Path, TrackerSwitch] = {}


def trackers_of(directory: Path) -> TrackerSwitch | None:
    """Returns the trackers of a sweep that this process runs.

    Args:
        directory: The absolute path of the sweep directory.
    """
    return _active.get(directory)


@contextmanager
def report_to_trackers(spec: SearchSpec, directory: Path) -> Iterator[None]:
    """Reports a sweep to the trackers of its search file while the context is open.

    Args:
        spec: The search file.
        directory: The sweep directory, which holds the sweep's records.
    """
    directory = directory.absolute()
    switch = _active[directory] = TrackerSwitch(directory)
    try:
        switch.configure(spec)
        yield
    finally:
        del _active[directory]
        switch.close(_read_state(directory))


def _read_state(directory: Path) -> str:
    try:
        state = SweepLayout(directory).read_sweep().state
    except SweepError:
        return "paused"
    return "paused" if state == "running" else state
