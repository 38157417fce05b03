"""The thread that reports a sweep to one tracker.

The sweep only wakes it. What is sent comes from the trials' files, so that a tracker which was
down, or is new, gets everything. No failure of a tracker leaves the thread.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.spec.log_to import TITLES
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.trackers.feed import Cursor, count_unsent, is_whole, read_trial
from sweeps.trackers.marks import Marks, TrackerMarks
from sweeps.trackers.process import ClientError, ClientLostError, ClientProcess
from sweeps.trackers.update import SweepInfo
from trainable.errors import StorageError

OPEN_LIMIT_S = 120.0
"""Longest time for the import of a client, the first connection and a new database."""
UPDATE_LIMIT_S = 60.0
"""Longest time for one trial's news."""
FIRST_DELAY_S, MAX_DELAY_S = 2.0, 300.0
"""Delay after a failure, which doubles with every further one, and its limit."""
CLOSE_LIMIT_S = 10.0
"""Longest wait at the end of a run for a client that makes no progress."""
START_LIMIT_S = 60.0
"""Longest wait at the end of a run for a client that is still being started."""
JOIN_LIMIT_S = 300.0
"""Longest wait at the end of a run for a client that makes progress."""
CLOSE_POLL_S = 0.2
MARK_INTERVAL_S = 5.0
"""Time between two writes of `trackers.json`."""

ALL = ""
"""Stands for every trial that the tracker does not have whole, in place of a directory."""

Print = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """Times in seconds."""

    open_s: float = OPEN_LIMIT_S
    update_s: float = UPDATE_LIMIT_S
    first_delay_s: float = FIRST_DELAY_S
    max_delay_s: float = MAX_DELAY_S
    close_s: float = CLOSE_LIMIT_S
    join_s: float = JOIN_LIMIT_S


@dataclass
class _Delay:
    """The time at which a failed step is tried again."""

    limits: Limits
    until: float = 0.0
    length_s: float = 0.0

    def fail(self) -> None:
        doubled = max(self.limits.first_delay_s, 2 * self.length_s)
        self.length_s = min(doubled, self.limits.max_delay_s)
        self.until = time.monotonic() + self.length_s


@dataclass
class _Work:
    """The work of the thread; changed under the reporter's condition."""

    trials: dict[str, None] = field(default_factory=dict)
    """Directories of trials with news, the oldest first."""
    end_state: str | None = None
    """The state in which the sweep has ended; None while it runs."""
    last: dict[str, None] | None = None
    """Trials that are still tried once after that; None until they are looked for."""


class Reporter:
    """Reports to one tracker.

    Args:
        tracker: The tracker's key in `log_to`.
        sweep: The sweep.
        marks: The sweep's marks.
        own: Those of the tracker.
        show: Prints a line.
        limits: Times.
    """

    def __init__(
        self,
        tracker: str,
        sweep: SweepInfo,
        marks: Marks,
        own: TrackerMarks,
        show: Print,
        limits: Limits,
    ) -> None:
        self.title = TITLES[tracker]
        self._tracker = tracker
        self._sweep = sweep
        self._directory = Path(sweep.directory)
        self._marks = marks
        self._own = own
        self._show = show
        self._limits = limits
        self._changed = threading.Condition()
        self._work = _Work()
        self._client: ClientProcess | None = None
        self._is_open = False
        self._last_progress = time.monotonic()
        self._close_limit = float("inf")
        self._cursors: dict[str, Cursor] = {}
        self._outage = _Delay(limits)
        self._trial_delays: dict[str, _Delay] = {}
        self._printed: set[str] = set()
        self._marks_written = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"log to {tracker}")
        self._thread.start()

    def wake(self, trial: str) -> None:
        """Notes that a trial's files have changed.

        Args:
            trial: The name of the trial's directory.
        """
        with self._changed:
            self._work.trials[trial] = None
            self._changed.notify()

    def begin_close(self, state: str) -> None:
        """Lets the thread end once it has sent what there is.

        Args:
            state: The state of the sweep.
        """
        with self._changed:
            self._work.end_state = state
            self._last_progress = time.monotonic()
            self._close_limit = self._last_progress + self._limits.join_s
            self._changed.notify()

    def join(self) -> None:
        """Waits for the thread while it makes progress, for a limited time, then ends it.

        Call `begin_close` before.
        """
        while self._thread.is_alive() and time.monotonic() < self._close_deadline():
            self._thread.join(CLOSE_POLL_S)
        self.abandon()

    def abandon(self) -> None:
        """Ends the thread and the client at once."""
        with self._changed:
            self._work.end_state = self._work.end_state or "paused"
            self._work.last = {}
            self._changed.notify()
        deadline = time.monotonic() + CLOSE_LIMIT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            client = self._client
            if client is not None:
                client.kill()
            self._thread.join(CLOSE_POLL_S)

    def _close_deadline(self) -> float:
        close_s = self._limits.close_s
        wait_s = close_s if self._is_open else max(close_s, START_LIMIT_S)
        return min(self._last_progress + wait_s, self._close_limit)

    def count_unsent(self) -> tuple[int, int]:
        """Returns how many epochs of how many trials the tracker does not have."""
        counts = []
        for record in SweepLayout(self._directory).scan_trials()[0]:
            directory = self._directory / record.directory
            counts.append(count_unsent(directory, self._own.trials.get(record.id)))
        return sum(counts), sum(count > 0 for count in counts)

    # The thread.

    def _run(self) -> None:
        try:
            self.wake(ALL)
            while (trial := self._next_trial()) is not None:
                self._report(trial)
            self._end_session()
        finally:
            self._write_marks()
            if self._client is not None:
                self._client.close()

    def _wake_all(self) -> None:
        """Wakes every trial that the tracker does not have whole."""
        for record in SweepLayout(self._directory).scan_trials()[0]:
            mark = self._own.trials.get(record.id)
            if not is_whole(record, self._directory / record.directory, mark):
                self.wake(record.directory)

    def _next_trial(self) -> str | None:
        """Waits for a trial with news and takes it; None when the thread is to end."""
        while True:
            with self._changed:
                work = self._work
                if work.end_state is not None and work.last is not None:
                    return _take_first(work.last)
                if work.end_state is None:
                    now = time.monotonic()
                    due = {trial: self._due(trial) for trial in work.trials}
                    ready = next((trial for trial, at in due.items() if at <= now), None)
                    if ready is not None:
                        del work.trials[ready]
                        return ready
                    self._changed.wait(min(due.values()) - now if due else None)
                    continue
            try:
                self._wake_all()  # the records of the end were written without waking anything
            except OSError as error:
                self._note_failure(ALL, error)
            with self._changed:
                work.trials.pop(ALL, None)
                work.last = dict(work.trials) if work.last is None else work.last

    def _due(self, trial: str) -> float:
        delay = self._trial_delays.get(trial)
        return max(self._outage.until, delay.until if delay else 0.0)

    def _report(self, trial: str) -> None:
        """Sends a trial's news; a failure is printed, and the trial comes again later."""
        try:
            if trial == ALL:
                self._wake_all()
                self._trial_delays.pop(ALL, None)
                return
            self._send(trial)
        except (ClientError, SweepError, StorageError, OSError) as error:
            self._note_failure(trial, error)
        else:
            self._note_success(trial)
        if time.monotonic() > self._marks_written + MARK_INTERVAL_S:
            self._write_marks()

    def _send(self, trial: str) -> None:
        client = self._open_client()
        reading = read_trial(self._directory / trial, self._cursors.get(trial))
        if reading is None:
            return  # it is woken again when it has started
        if reading.message is not None:
            client.ask(reading.message, self._limits.update_s)
        self._cursors[trial] = reading.cursor
        self._marks.set(self._own, reading.record.id, reading.mark)

    def _open_client(self) -> ClientProcess:
        """Returns the client's process; starts it if there is none."""
        if self._client is not None:
            return self._client
        self._cursors = {}
        self._client = ClientProcess(self._tracker, self._directory)
        answer = self._client.ask({"open": self._sweep.to_dict()}, self._limits.open_s)
        self._is_open, self._last_progress = True, time.monotonic()
        if not answer["is_known"]:
            self._marks.clear(self._own)
            self.wake(ALL)
        return self._client

    def _note_success(self, trial: str) -> None:
        self._last_progress = time.monotonic()
        self._trial_delays.pop(trial, None)
        if self._printed and not self._trial_delays:
            self._show(f"{self.title} gets the sweep again")
            self._printed.clear()
        self._outage = _Delay(self._limits)

    def _note_failure(self, trial: str, error: Exception) -> None:
        reason = " ".join(str(error).split())
        kind = re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", reason)
        if kind not in self._printed and self._work.last != {}:
            self._printed.add(kind)
            self._show(f"{self.title} failed (the sweep is not affected): {reason}")
        self._outage.fail()
        self._trial_delays.setdefault(trial, _Delay(self._limits)).fail()
        self.wake(trial)
        if isinstance(error, ClientLostError) or not self._is_open:
            self._drop_client()

    def _drop_client(self) -> None:
        """Ends the client. What it had not written yet comes from the files again."""
        if self._client is not None:
            self._client.close()
        if not self._is_open and self._work.last is not None:
            self._work.last = {}  # there is no use in further attempts
        elif self._is_open:
            self.wake(ALL)
        self._client, self._is_open = None, False

    def _end_session(self) -> None:
        """Ends the runs of trials that have not ended, and that of the sweep."""
        if self._client is None:
            return
        try:
            self._client.ask({"close": self._work.end_state}, self._limits.update_s)
        except ClientError as error:
            self._show(f"{self.title} failed at the end (the sweep is not affected): {error}")

    def _write_marks(self) -> None:
        self._marks_written = time.monotonic()
        try:
            self._marks.write()
        except OSError as error:
            self._show(f"{error.filename}: cannot be written: {error.strerror}")


def _take_first(trials: dict[str, None]) -> str | None:
    trial = next(iter(trials), None)
    if trial is not None:
        del trials[trial]
    return trial
