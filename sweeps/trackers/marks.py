"""`trackers.json`: how much of every trial each tracker has, and under which id it has the sweep.

When a trial goes on, the epochs that its run has are read from the run itself. The marks spare
that for trials that have ended, and count what is not sent yet.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sweeps.sweep_dir.layout import SWEEP_FILE, TRACKERS_FILE
from sweeps.sweep_dir.records import STRICT
from trainable.atomic_files import write_text


@dataclass
class Mark:
    """The part of one trial that a tracker has."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    epochs: int
    """Number of epochs."""
    state: str
    """The trial's state."""
    size: int
    """Bytes of `metrics.jsonl`."""


@dataclass
class TrackerMarks:
    """The part of the sweep that one tracker has."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    target: str
    """Where the runs are: the settings of the tracker."""
    id: str
    """The id by which the tracker knows the sweep."""
    is_inside: bool
    """Whether the tracker's files lie in the sweep directory, and are copied with it."""
    trials: dict[str, Mark] = field(default_factory=dict)
    """Trial id -> mark."""


@dataclass
class _Content:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    directory: str
    trackers: dict[str, TrackerMarks] = field(default_factory=dict)


_CONTENT = TypeAdapter(_Content)


class Marks:
    """The marks of one sweep, which the threads of its trackers share.

    Args:
        directory: The sweep directory.
        location: The path or URI at which the sweep can be read.
    """

    def __init__(self, directory: Path, location: str) -> None:
        self._path = directory / TRACKERS_FILE
        self._lock = threading.Lock()
        self._content = self._read() or _Content(_new_id(), location)
        if _is_copy(self._content.directory, location):
            # Both would write to the same runs, except to those in the copied files.
            trackers = self._content.trackers.items()
            inside = {name: marks for name, marks in trackers if marks.is_inside}
            self._content = _Content(_new_id(), location, inside)
        self._content.directory = location

    def open(self, tracker: str, target: str, *, is_inside: bool) -> TrackerMarks:
        """Returns the marks of a tracker; without any trial if its runs are elsewhere than before.

        Args:
            tracker: The tracker's key in `log_to`.
            target: See `TrackerMarks`.
            is_inside: See `TrackerMarks`.
        """
        with self._lock:
            marks = self._content.trackers.get(tracker)
            if marks is None or marks.target != target:
                marks = TrackerMarks(target, self._content.id, is_inside)
                self._content.trackers[tracker] = marks
            return marks

    def set(self, marks: TrackerMarks, trial: str, mark: Mark) -> None:
        """Sets the mark of a trial."""
        with self._lock:
            marks.trials[trial] = mark

    def clear(self, marks: TrackerMarks) -> None:
        """Drops the marks of a tracker whose runs are gone."""
        with self._lock:
            marks.trials.clear()

    def write(self) -> None:
        """Replaces the file.

        Raises:
            OSError: It cannot be written.
        """
        with self._lock:
            text = _CONTENT.dump_json(self._content, indent=1).decode() + "\n"
            write_text(self._path, text)

    def _read(self) -> _Content | None:
        """Reads the file; one that is missing or damaged is written anew."""
        try:
            return _CONTENT.validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def _is_copy(recorded: str, location: str) -> bool:
    """Returns whether the sweep's directory is a copy of another one that still exists."""
    if Path(recorded).resolve() == Path(location).resolve():
        return False
    return (Path(recorded) / SWEEP_FILE).exists()
