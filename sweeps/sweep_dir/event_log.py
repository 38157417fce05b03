"""`events.jsonl`: what the scheduler was told and answered, in the order it happened.

A scheduler's memory (ASHA's rungs, HyperBand's brackets, PBT's scores) lies in objects that a
killed driver takes with it. Fed the same events, a new scheduler comes to the same state.
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


@dataclass(frozen=True)
class Event:
    """One thing the scheduler was told."""

    kind: EventKind
    trial: str
    epoch: int = 0
    metrics: dict[str, float] | None = None
    """The numbers of a `result` or `complete` row that schedulers read."""
    decision: str | None = None
    """What it answered to a `result`."""

    def line(self) -> bytes:
        """The event as it is in the file."""
        data = {"kind": self.kind, "trial": self.trial, "epoch": self.epoch}
        more = {"metrics": self.metrics, "decision": self.decision}
        found = data | {key: value for key, value in more.items() if value is not None}
        return json.dumps(found).encode() + b"\n"


class EventLog:
    """Appends to and reads the events of one sweep."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def append(self, event: Event) -> None:
        """Adds one event; with the system when this returns, and so safe from a kill.

        Raises:
            OSError: The disk is full; nothing of the event is in the file then.
        """
        if self._file is None:
            # Stays open: one call of the system for an event, with nothing held back here.
            self._file = self._path.open("ab", buffering=0)
        line = event.line()
        written = self._file.write(line)
        if written < len(line):
            self._file.truncate(self._file.seek(0, os.SEEK_END) - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Closes the file; the next event opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file: Tune pickles all that it is given, and takes none of it up."""
        return {"_path": self._path, "_file": None}

    def __del__(self) -> None:
        """Leaves no open file behind."""
        self.close()

    def read(self) -> list[Event]:
        """Every event; a last line that a kill cut short is left out and taken away.

        Raises:
            SweepError: Another line is no event.
        """
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        lines = whole.split(b"\n")[:-1]
        return [self._event(number, line) for number, line in enumerate(lines, 1)]

    def _event(self, number: int, line: bytes) -> Event:
        try:
            data: dict[str, Any] = json.loads(line)
            return Event(**data)
        except (ValueError, TypeError) as error:
            raise SweepError(f"{self._path}: line {number} is no event: {error}") from error
