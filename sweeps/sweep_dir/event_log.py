"""`events.jsonl`: the events that the scheduler received and its decisions, in order.

The state of a scheduler (ASHA's rungs, HyperBand's brackets, PBT's scores) is lost with a killed
driver. A new scheduler that receives the same events reaches the same state.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from sweeps.sweep_dir.errors import SweepError

EventKind = Literal["add", "result", "back", "halve", "complete", "remove", "error"]

ENDS: frozenset[EventKind] = frozenset({"complete", "remove", "error"})
"""Kinds of events after which a trial has ended."""


@dataclass(frozen=True)
class Event:
    """One event that the scheduler received."""

    kind: EventKind
    trial: str
    epoch: int = 0
    metrics: dict[str, float] | None = None
    """The metrics of a `result` or `complete` that schedulers read."""
    decision: str | None = None
    """The scheduler's decision on a `result`."""

    def to_line(self) -> bytes:
        """Returns the event's line in the file."""
        required = {"kind": self.kind, "trial": self.trial, "epoch": self.epoch}
        optional = {"metrics": self.metrics, "decision": self.decision}
        present = {key: value for key, value in optional.items() if value is not None}
        return json.dumps(required | present).encode() + b"\n"


class EventLog:
    """Appends and reads the events of one sweep."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def append(self, event: Event) -> None:
        """Appends an event; the operating system has it on return, so it survives a kill.

        Raises:
            OSError: The disk is full; the file is as it was before.
        """
        if self._file is None:
            # Stays open and is not buffered: one system call per event.
            self._file = self._path.open("ab", buffering=0)
        line = event.to_line()
        written = self._file.write(line)
        if written < len(line):
            self._file.truncate(self._file.seek(0, os.SEEK_END) - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Closes the file; the next `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the open file: Tune pickles what it is given but never loads this."""
        return {"_path": self._path, "_file": None}

    def __del__(self) -> None:
        """Closes the file."""
        self.close()

    def read(self) -> list[Event]:
        """Reads every event; a last line that a kill cut short is removed from the file.

        Raises:
            SweepError: Another line is not an event.
        """
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        if len(complete) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(complete))
        lines = complete.split(b"\n")[:-1]
        return [self._parse(number, line) for number, line in enumerate(lines, 1)]

    def _parse(self, number: int, line: bytes) -> Event:
        try:
            data: dict[str, Any] = json.loads(line)
            return Event(**data)
        except (ValueError, TypeError) as error:
            raise SweepError(f"{self._path}: line {number} is not an event: {error}") from error
