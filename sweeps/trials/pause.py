"""Asking a running sweep to pause: signals, a stop file and the time budget.

A pause lets every running trial finish its epoch and save; a second signal ends them at once.
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
from sweeps.sweep_dir.layout import Reason
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
    """Whether the sweep is to pause, and why.

    Args:
        stop_file: Asks for a pause by existing; removed when it has been heard.
        deadline: Monotonic seconds at which the time budget is spent; None for no budget.
    """

    def __init__(self, stop_file: Path, deadline: float | None) -> None:
        self._stop_file = stop_file
        self._deadline = deadline
        self.reason: Reason | None = None
        self.at_once = False
        """Whether running trials are ended without waiting for their epoch."""

    def request(self, reason: Reason) -> None:
        """Asks for a pause; the first reason stays."""
        self.reason = self.reason or reason

    def poll(self) -> None:
        """Looks at the clock and for the stop file."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.request("time_budget")
        if self._stop_file.exists():
            self._stop_file.unlink(missing_ok=True)
            self.request("stop")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for a pause; the second one ends the running epochs.

        Outside the main thread, where Python takes no signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._received)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.at_once = self.reason is not None
        self.request("SIGINT" if number == signal.SIGINT else "SIGTERM")


class PauseStopper(Stopper):
    """Ends Tune's loop once every trial of a pausing sweep has come to rest."""

    def __init__(self, switch: PauseSwitch) -> None:
        self._switch = switch
        self.running = 0
        """Trials in the middle of an epoch or a save; kept by the scheduler."""

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Never stops a single trial."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Whether the loop may end now."""
        if self._switch.reason is None:
            return False
        return self._switch.at_once or self.running == 0


def deadline(spec: SearchSpec) -> float | None:
    """The monotonic time at which this run's budget is spent."""
    budget = spec.tune.time_budget
    return None if budget is None else time.monotonic() + budget


def target(spec: SearchSpec) -> Callable[[float], bool]:
    """Whether a value of the metric is what the sweep was looking for."""

    def reached(value: float) -> bool:
        wanted = spec.tune.target
        if wanted is None:
            return False
        return value >= wanted if spec.tune.mode == "max" else value <= wanted

    return reached
