"""Counts trials that fail alike, one after another: the rest of the sweep would fail, too.

Everything that the count depends on is in `events.jsonl`, so that a resumed sweep counts as one
that was never interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from sweeps.sweep_dir.event_log import Event
from sweeps.sweep_dir.records import Failure, TrialRecord
from sweeps.trials.failures import ACCUMULATION_STEPS
from trainable.errors import is_library

RESTART = Event("restart", trial="")
"""Logged when a sweep goes on after a pause for failures, or trials are retried."""

MAX_KEY_CHARS = 300

_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"]+)", line \d+, in (?P<function>\S+)', re.MULTILINE)
_EXIT = re.compile(r"Worker exit detail: (.*)")
"""Ray's text on a process that died: all that tells one loss of a worker from another."""
_VARIABLE = re.compile(
    r"""'[^']*' | "[^"]*"              # names and paths in quotes
    | (?<!\w)/[^\s:,)]+                # other paths
    | \b(?:0x)?[0-9a-f]{8,}\b          # ids and addresses
    | \d+(?:\.\d+)?(?:e[+-]?\d+)?      # numbers""",
    re.VERBOSE,
)
"""Parts of a message that differ between trials that fail for the same reason."""


def failure_key(record: TrialRecord) -> str | None:
    """Returns a text that is the same for trials whose last failures are alike.

    It has the cause, the innermost function of the user's or of this project, and the exception's
    class and message without numbers, ids, paths and quoted names.

    Returns:
        None for a failure that says nothing about other trials: a loss that is not finite, a full
        disk, and memory that ran out before the batches were halved.
    """
    failure = record.failures[-1]
    if failure.cause in {"nan", "disk_full"}:
        return None
    if failure.cause == "oom" and ACCUMULATION_STEPS not in record.changes:
        return None
    parts = [failure.cause, _innermost_function(failure.traceback), _message(failure)]
    return ": ".join(filter(None, parts))[:MAX_KEY_CHARS]


def _innermost_function(traceback: str) -> str:
    frames = [frame for frame in _FRAME.finditer(traceback) if not is_library(frame["file"])]
    return f"{Path(frames[-1]['file']).stem}.{frames[-1]['function']}" if frames else ""


def _message(failure: Failure) -> str:
    detail = _EXIT.search(failure.traceback) if failure.cause == "lost_worker" else None
    return _VARIABLE.sub("*", detail[1] if detail else failure.message)


class FailureStreak:
    """The trials in a row that failed alike before their first epoch.

    A trial that begins after the first of them and completes an epoch ends the streak. So do a
    resume after the sweep has paused for them, and a retry. Trials that fail after an epoch are
    counted if they fail like those before them.

    Args:
        limit: Number of trials at which `on_limit` is called: `failure.stop_after`.
        on_limit: Called without arguments.
    """

    def __init__(self, limit: int | Literal["never"], on_limit: Callable[[], None]) -> None:
        self._limit = limit
        self._on_limit = on_limit
        self._begun: dict[str, int] = {}
        """Trial -> its number in the order in which trials began."""
        self._trained: set[str] = set()
        """Trials that have completed an epoch."""
        self.key: str | None = None
        """The text that the failures have in common; see `failure_key`."""
        self.trials: list[str] = []
        """The trials that failed alike."""

    def change_limit(self, limit: int | Literal["never"]) -> None:
        """Takes another number of trials at which to call; calls if it is reached already."""
        self._limit = limit
        self._check()

    def replay(self, events: Iterable[Event]) -> None:
        """Takes the events that earlier runs of the sweep have logged."""
        for event in events:
            self._count(event)
        self._check()

    def add(self, event: Event) -> None:
        """Takes the next event of the log."""
        before = self.trials
        self._count(event)
        if self.trials != before:
            self._check()

    def describe(self, record: TrialRecord) -> list[str]:
        """Returns lines on the streak, with the traceback of its last trial.

        Args:
            record: The last trial.
        """
        return [
            f"{len(self.trials)} trials in a row failed alike, before their first epoch "
            f"(failure.stop_after: {self._limit}): {', '.join(self.trials)}",
            f"  {self.key}",
            record.failures[-1].traceback,
        ]

    def _count(self, event: Event) -> None:
        if event.kind == "add":
            self._begun.setdefault(event.trial, len(self._begun))
        elif event.kind == "result":
            self._trained.add(event.trial)
            if self.trials and self._order(event.trial) > self._order(self.trials[0]):
                self._restart()
        elif event.kind == "restart" or _is_retry(event):
            self._restart()
        elif event.kind == "error" and event.failure is not None:
            self._add_failure(event.trial, event.failure)

    def _add_failure(self, trial: str, key: str) -> None:
        if key != self.key:
            if trial in self._trained:
                return
            self._restart()
            self.key = key
        self.trials = [*(other for other in self.trials if other != trial), trial]

    def _check(self) -> None:
        if self._limit != "never" and len(self.trials) >= self._limit:
            self._on_limit()

    def _order(self, trial: str) -> int:
        return self._begun.get(trial, -1)

    def _restart(self) -> None:
        self.key, self.trials = None, []


def _is_retry(event: Event) -> bool:
    """Whether an event is a request to retry a trial that was accepted."""
    request = event.request or {}
    return request.get("verb") == "retry" and request.get("state") == "accepted"
