"""`events.jsonl`: what the scheduler was told and answered, in the order it happened.

A scheduler's memory (ASHA's rungs, HyperBand's brackets, PBT's scores) lies in objects that a
killed driver takes with it. Fed the same events, a new scheduler comes to the same state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sweeps.layout import SweepError

EventKind = Literal["add", "result", "halve", "complete", "remove", "error"]

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


class EventLog:
    """Appends to and reads the events of one sweep."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: Event) -> None:
        """Adds one event; on disk when this returns, but for a power failure."""
        line = json.dumps({k: v for k, v in asdict(event).items() if v is not None})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

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
