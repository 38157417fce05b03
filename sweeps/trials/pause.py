"""Pauses a running sweep: by a signal, a stop file, the time budget, a full disk or Ray's death.

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
that they were in, and resuming the sweep restores them from their last checkpoint. The same holds
if Ray has died: `RayDied` then leaves Tune's loop, whose own end would wait for Ray.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ray.tune import Stopper

from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import PAUSED_BY, Reason
from sweeps.terminal.exit_codes import (
    FINISHED,
    PAUSED,
    RAY_DIED,
    SIGHUP_CODE,
    SIGINT_CODE,
    SIGTERM_CODE,
)
from trainable.errors import describe_full_disk
from trainable.signals import discard_output_of_closed_terminal, handled_signals

EXIT_CODES: dict[Reason, int] = {
    "SIGINT": SIGINT_CODE,
    "SIGTERM": SIGTERM_CODE,
    "SIGHUP": SIGHUP_CODE,
    "stop": PAUSED,
    "time_budget": PAUSED,
    "disk_full": PAUSED,
    "failing": PAUSED,
    "held": PAUSED,
    "ray_died": RAY_DIED,
    "fault": PAUSED,
    "interrupted": PAUSED,
    "target": FINISHED,
}

SIGNAL_REASONS: dict[signal.Signals, Reason] = {
    signal.SIGINT: "SIGINT",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
}


class RayDied(BaseException):
    """Leaves Tune's loop; Tune handles a subclass of `Exception` by calls that wait for Ray."""


class PauseSwitch:
    """Holds whether a pause of the sweep was requested, and why.

    Args:
        stop_file: File whose existence requests a pause; `poll` removes it.
        budget_s: The time budget of this run in seconds; None for none.
    """

    def __init__(self, stop_file: Path, budget_s: float | None) -> None:
        self._stop_file = stop_file
        self._started = time.monotonic()
        self.budget_s = budget_s
        """The time budget, which may change while the sweep runs."""
        self.reason: Reason | None = None
        """Why a pause was requested; None as long as none was."""
        self.immediate = False
        """Whether running trials are ended in the middle of their epoch."""
        self._changes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """Gets true for every change of the two above; a handler of signals may put into it."""

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its stopper, but no process ever restores this one."""
        return {}

    @property
    def run_s(self) -> float:
        """Seconds that this run has taken."""
        return time.monotonic() - self._started

    def request(self, reason: Reason) -> None:
        """Requests a pause; the first reason is kept."""
        if self.reason is None:
            self.reason = reason
            self._changes.put(True)

    def replace(self, reason: Reason) -> None:
        """Requests a pause whose reason replaces an earlier one."""
        self.reason = reason

    def check_ray(self) -> None:
        """Raises `RayDied` if Ray has died."""
        if self.reason == "ray_died":
            raise RayDied

    @contextmanager
    def announcing(self, announce: Callable[[], None]) -> Iterator[None]:
        """Calls a function in a thread of its own when a pause is requested or becomes immediate.

        The main thread may be in a long call, and a handler of signals must not print.
        """

        def run() -> None:
            while self._changes.get():
                announce()

        thread = threading.Thread(target=run, daemon=True, name="pause announcements")
        thread.start()
        try:
            yield
        finally:
            self._changes.put(False)
            thread.join()

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
        """Requests a pause if the time budget is spent or the stop file exists.

        Raises:
            RayDied: Ray has died.
        """
        self.check_ray()
        if self.budget_s is not None and self.run_s >= self.budget_s:
            self.request("time_budget")
        if self._stop_file.exists():
            self._stop_file.unlink(missing_ok=True)
            self.request("stop")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Lets the signals of `SIGNALS` request a pause, and an immediate one the second time.

        Does nothing outside the main thread, where Python cannot handle signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in handled_signals()}
        for number in before:
            signal.signal(number, self._handle_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        reason = SIGNAL_REASONS[signal.Signals(number)]
        if reason == "SIGHUP":
            discard_output_of_closed_terminal()
        if self.reason is not None and not self.immediate:
            self.immediate = True
            self._changes.put(True)
        self.request(reason)


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
        self._switch.check_ray()
        if self._switch.reason is None:
            return False
        return self._switch.immediate or self.running == 0


def describe_pause(reason: Reason, running: int, *, immediate: bool, saves: bool) -> str:
    """Returns the line that acknowledges the request of a pause.

    Args:
        reason: Why the sweep pauses.
        running: Number of running trials.
        immediate: Whether they are ended at once, after a second signal.
        saves: Whether trials save checkpoints.
    """
    if immediate:
        return "stopping now: running trials lose their epoch"
    trials = (
        "1 trial finishes its epoch" if running == 1 else f"{running} trials finish their epoch"
    )
    if reason == "target":
        return f"ending: {trials}"
    by = PAUSED_BY[reason]
    if not running:
        return f"pausing, by {by}: no trial is running"
    effect = "" if saves else " and, without checkpoints, begin again on resume"
    again = f"; {by} again stops now" if reason.startswith("SIG") else ""
    return f"pausing, by {by}: {trials}{effect}{again}"


def reaches_target(spec: SearchSpec, value: float) -> bool:
    """Whether a value of the metric reaches `tune.target`."""
    target = spec.tune.target
    if target is None:
        return False
    return value >= target if spec.tune.mode == "max" else value <= target
