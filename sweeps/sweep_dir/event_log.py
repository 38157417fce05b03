"""`events.jsonl`: the events that the scheduler received and its decisions, in order.

The state of a scheduler (ASHA's rungs, HyperBand's brackets, PBT's scores) is lost with a killed
driver. A new scheduler that receives the same events reaches the same state.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import STRICT
from trainable.atomic_files import append_whole, remove_partial_line

EventKind = Literal[
    "add",
    "result",
    "back",
    "halve",
    "complete",
    "remove",
    "error",
    "restart",
    "request",
    "memory",
]
"""Kinds of events; `restart`, which has no trial, begins to count failures anew. `request` is the
judgement of a request to the running sweep; its trial is empty if it concerns the sweep. `memory`
says what ran out of memory; it has no trial either, because the scheduler is not concerned."""

REMEDY = (
    "restore the file from a copy, or move it away: most schedulers catch up from the trials' "
    "metrics.jsonl"
)

ENDS: frozenset[EventKind] = frozenset({"complete", "remove", "error"})
"""Kinds of events after which a trial has ended."""


def _check_metrics(metrics: Any) -> dict[str, float] | None:
    """Checks the metrics of an event; values of the config, such as `config/KEY`, may be any."""
    if metrics is not None and not isinstance(metrics, dict):
        raise ValueError(f"expected an object, found {metrics!r}")
    for name, value in (metrics or {}).items():
        if "/" not in name and type(value) not in {int, float}:
            raise ValueError(f"{name}: expected a number, found {value!r}")
    return metrics


@dataclass(frozen=True)
class Event:
    """One event that the scheduler received."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: EventKind
    trial: str
    epoch: int = 0
    metrics: Annotated[dict[str, float] | None, PlainValidator(_check_metrics)] = None
    """The metrics of a `result` or `complete` that schedulers read."""
    decision: str | None = None
    """The scheduler's decision on a `result`."""
    failure: str | None = None
    """The part of the failure of an `error` that is common to trials which fail alike."""
    asked: bool | None = None
    """Whether a request, and not the scheduler, has led to the decision on a `result`."""
    own: str | None = None
    """The scheduler's own decision, if `asked`, unless that was to continue."""
    request: dict[str, Any] | None = None
    """The content of a `request`; see `steering.request.Judgement`."""
    memory: dict[str, Any] | None = None
    """The content of a `memory`; see `trials.memory_facts.MemoryFact`."""

    def to_line(self) -> bytes:
        """Returns the event's line in the file."""
        required = {"kind": self.kind, "trial": self.trial, "epoch": self.epoch}
        optional = {
            "metrics": self.metrics,
            "decision": self.decision,
            "failure": self.failure,
            "asked": self.asked,
            "own": self.own,
            "request": self.request,
            "memory": self.memory,
        }
        present = {key: value for key, value in optional.items() if value is not None}
        return json.dumps(required | present).encode() + b"\n"


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


_EVENT = TypeAdapter(Event)
_REQUEST_LINE = b'{"kind": "request"'
_TRIAL_AND_EPOCH = re.compile(
    rb'^\{"kind": "[a-z]+", "trial": "([^"]+)", "epoch": ([1-9][0-9]{0,8})\b', re.MULTILINE
)


class EventLog:
    """Appends and reads the events of one sweep.

    Args:
        path: The file.
        on_append: Called with every event that has been appended.
    """

    def __init__(self, path: Path, on_append: Callable[[Event], None] | None = None) -> None:
        self._path = path
        self._on_append = on_append
        self._file: io.FileIO | None = None

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Appends an event; the operating system has it on return, so it survives a kill.

        A last line that a kill has cut short is removed first.

        Args:
            event: The event.
            sync: Whether it also survives a loss of power.

        Raises:
            OSError: The disk is full; the file is as it was before.
        """
        if self._file is None:
            # Stays open and is not buffered: one system call per event.
            self.remove_partial_line()
            self._file = self._path.open("ab", buffering=0)
        append_whole(self._file, event.to_line())
        if sync:
            os.fsync(self._file.fileno())
        if self._on_append is not None:
            self._on_append(event)

    def close(self) -> None:
        """Closes the file; the next `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the open file: Tune pickles what it is given but never loads this."""
        return {"_path": self._path, "_file": None, "_on_append": None}

    def __del__(self) -> None:
        """Closes the file."""
        self.close()

    def read(self) -> list[Event]:
        """Reads every event but a last one whose line a kill has cut short.

        Raises:
            SweepError: The file cannot be read, or another line is not an event.
        """
        events, problems = self.scan()
        if problems:
            raise SweepError(f"{self._path}: {problems[0]}; {REMEDY}")
        return events

    def read_requests(self) -> list[Event]:
        """Reads the judgements of requests only, which is fast.

        Raises:
            SweepError: A line with a judgement is damaged.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        lines = [line for line in data.split(b"\n")[:-1] if line.startswith(_REQUEST_LINE)]
        try:
            return [_EVENT.validate_json(line) for line in lines]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            text = f"a line is not an event: {_message(first)}"
            raise SweepError(f"{self._path}: {text}; {REMEDY}") from None

    def remove_partial_line(self) -> None:
        """Removes a last line that a kill has cut short."""
        remove_partial_line(self._path)

    def scan(self) -> tuple[list[Event], list[str]]:
        """Reads a log that may be damaged and changes nothing.

        Returns:
            (events, problems): the good events, and a sentence about every other line but the
            last one, which a kill may have cut short.
        """
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return [], []
        except OSError as error:
            return [], [f"cannot be read: {error.strerror}"]
        events, problems = [], []
        for number, line in enumerate(lines, 1):
            try:
                events.append(_EVENT.validate_json(line))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                key = "".join(f"{part}: " for part in first["loc"])
                problems.append(f"line {number} is not an event: {key}{_message(first)}")
        return events, problems

    def last_epochs(self) -> dict[str, int]:
        """Returns trial -> the epoch of its last event that has one, without parsing the log."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        pairs = _TRIAL_AND_EPOCH.findall(data)
        return {trial.decode("ascii", "replace"): int(epoch) for trial, epoch in pairs}
