"""Pauses a running sweep: by a signal, a stop file, the time budget or a full disk.

A pause has three stages:

1. Requested: `PauseSwitch.request` records the reason. Signals request it directly; `poll`, which
   runs in every step of Tune's loop, checks the stop file and the time budget.
2. Draining: no new trial starts. Every running trial finishes its epoch, and the recording
   scheduler answers its report with PAUSE instead of CONTINUE, so that Tune saves a checkpoint.
   PAUSE is not STOP: a stopped trial has ended, while a paused trial is restored when the sweep
   is resumed. With `checkpoint.enabled: false` nothing is saved, and a trial that has epochs
   left starts again.
3. Drained: no trial runs or saves any more, and `PauseStopper` ends Tune's loop.

A second signal skips the draining (`PauseSwitch.immediate`). Running trials then lose the epoch
that they were in, and resuming the sweep restores them from their last checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ray.tune import Stopper

from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import Reason
from trainable.errors import describe_full_disk
from trainable.signals import SIGNALS

EXIT_CODES: dict[Reason, int] = {
    "SIGINT": 128 + signal.SIGINT,
    "SIGTERM": 128 + signal.SIGTERM,
    "stop": 3,
    "time_budget": 3,
    "disk_full": 3,
    "interrupted": 3,
    "target": 0,
}


class PauseSwitch:
    """Holds whether a pause of the sweep was requested, and why.

    Args:
        stop_file: File whose existence requests a pause; `poll` removes it.
        deadline: Monotonic time in seconds at which the time budget is spent; None for no budget.
    """

    def __init__(self, stop_file: Path, deadline: float | None) -> None:
        self._stop_file = stop_file
        self._deadline = deadline
        self.reason: Reason | None = None
        """Why a pause was requested; None as long as none was."""
        self.immediate = False
        """Whether running trials are ended in the middle of their epoch."""

    def request(self, reason: Reason) -> None:
        """Requests a pause; the first reason is kept."""
        self.reason = self.reason or reason

    @contextmanager
    def on_full_disk(self) -> Iterator[None]:
        """Requests a pause if a file cannot be written because the disk is full."""
        try:
            yield
        except OSError as error:
            if describe_full_disk(error) is None:
                raise
            self.request("disk_full")

    def poll(self) -> None:
        """Requests a pause if the time budget is spent or the stop file exists."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.request("time_budget")
        if self._stop_file.exists():
            self._stop_file.unlink(missing_ok=True)
            self.request("stop")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Lets SIGINT and SIGTERM request a pause, and an immediate one the second time.

        Does nothing outside the main thread, where Python cannot handle signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._handle_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.immediate = self.reason is not None
        self.request("SIGINT" if number == signal.SIGINT else "SIGTERM")


class PauseStopper(Stopper):
    """Ends Tune's loop when the pause of a sweep is drained."""

    def __init__(self, switch: PauseSwitch) -> None:
        self._switch = switch
        self.running = 0
        """Number of trials that run an epoch or save; updated by the recording scheduler."""

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Returns False: single trials are stopped elsewhere."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Returns whether the pause is drained or immediate."""
        if self._switch.reason is None:
            return False
        return self._switch.immediate or self.running == 0


def budget_deadline(spec: SearchSpec) -> float | None:
    """Returns the monotonic time at which this run's time budget is spent."""
    budget = spec.tune.time_budget
    return None if budget is None else time.monotonic() + budget


def make_target_check(spec: SearchSpec) -> Callable[[float], bool]:
    """Returns a function that tells whether a value of the metric reaches `tune.target`."""

    def reaches_target(value: float) -> bool:
        target = spec.tune.target
        if target is None:
            return False
        return value >= target if spec.tune.mode == "max" else value <= target

    return reaches_target
