"""Runs the user's commands when a trial beats the best so far and when the sweep ends.

The commands run in a thread beside the sweep and for a limited time, so they cannot delay a trial
or fail the sweep. A command that fails costs one line of output.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sweeps.results.trial_results import TrialResult
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import Hooks
from sweeps.storage.location import join_location
from sweeps.sweep_dir.records import SweepRecord
from sweeps.terminal.console import print_line
from trainable.config.sections.metrics import Mode
from trainable.uri import expand_home

ON_BEST_INTERVAL_S = 1.0
"""Shortest time between two runs of `on_best`."""
MAX_REASON_CHARS = 200
"""Longest reason for a failure that is printed."""

Event = dict[str, Any]


def build_hooks(
    spec: SearchSpec, directory: Path, best_values: Iterable[float | None] = ()
) -> HookRunner:
    """Returns the hooks of a sweep.

    Args:
        spec: The sweep's search file.
        directory: The sweep directory.
        best_values: The best metric of each trial that has already run.
    """
    location = join_location(spec.training.checkpoint.dir, directory.name)
    metric, mode = spec.tune.metric, spec.tune.mode
    return HookRunner(spec.hooks, location, metric=metric, mode=mode, best_values=best_values)


class HookRunner:
    """Runs the hooks of one run of a sweep.

    Args:
        hooks: The search file's `hooks`, which may change while the sweep runs.
        location: The directory or URI at which the sweep can be read when it has ended.
        metric: The metric that trials are ranked by.
        mode: `max` or `min`, the direction of the metric.
        best_values: The best metric of each trial that has already run.
    """

    def __init__(
        self,
        hooks: Hooks,
        location: str | Path,
        *,
        metric: str,
        mode: Mode,
        best_values: Iterable[float | None] = (),
    ) -> None:
        self.hooks = hooks
        self._location = str(location)
        self._sweep = urlsplit(self._location).path.rpartition("/")[2]
        self._metric = metric
        self._best_of = max if mode == "max" else min
        values = [value for value in best_values if value is not None]
        self._best = self._best_of(values, default=None)
        self._pending_best: Event | None = None
        self._finishing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}

    def note(self, trial: str, value: float | None, epoch: int) -> None:
        """Takes a trial's metric; `on_best` runs if it is better than all before."""
        if value is None or not math.isfinite(value) or value == self._best:
            return
        if self._best is not None and self._best_of(value, self._best) != value:
            return
        self._best = value
        if self.hooks.on_best is None:
            return
        event = self._make_event("best", trial, value, epoch)
        with self._changed:
            self._pending_best = event
            self._changed.notify()
        if self._thread is None:
            self._thread = _start_thread(self._run_on_best)

    def finish(self, record: SweepRecord, results: list[TrialResult]) -> None:
        """Runs `on_finish` and waits for both hooks, at most for their `timeout`.

        Args:
            record: The sweep's record: whether it has finished or is paused.
            results: The sweep's trials, best first.
        """
        limit_s = self.hooks.timeout + 1  # killing a command at its limit takes a moment
        if self._thread is not None:
            with self._changed:
                self._finishing = True
                self._changed.notify()
            self._thread.join(limit_s)
        if self.hooks.on_finish is None:
            return
        first, row = (results[0], results[0].best) if results else (None, None)
        best = (first.record.id, row[self._metric], row["epoch"]) if first and row else [None] * 3
        event = self._make_event("finish", *best)
        event |= {"state": record.state, "reason": record.reason, "trials": record.trials}
        _start_thread(lambda: self._run_hook("on_finish", event)).join(limit_s)

    def _make_event(
        self, name: str, trial: str | None, value: float | None, epoch: int | None
    ) -> Event:
        return {
            "event": name,
            "sweep": self._sweep,
            "directory": self._location,
            "trial": trial,
            "metric": self._metric,
            "value": value,
            "epoch": epoch,
        }

    def _run_on_best(self) -> None:
        """Runs `on_best` for the newest best, at most once per interval, until the sweep ends."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending_best is not None or self._finishing)
                event, self._pending_best = self._pending_best, None
            if event is None:
                return
            started = time.monotonic()
            self._run_hook("on_best", event)
            remaining_s = started + ON_BEST_INTERVAL_S - time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._finishing, timeout=remaining_s)

    def _run_hook(self, name: str, event: Event) -> None:
        try:
            run_command(getattr(self.hooks, name), event, self.hooks.timeout)
        except (HookError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:MAX_REASON_CHARS]
            print_line(f"hook {name} failed (the sweep is not affected): {reason}")


class HookError(Exception):
    """A command that failed or did not end in time."""


def run_command(command: str, event: Event, timeout: float) -> None:
    """Runs a command with the event on its standard input and in its environment.

    Raises:
        HookError: The command exits with another code than 0, or takes too long.
        OSError: The command cannot be started.
    """
    words = [expand_home(word) for word in shlex.split(command)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **event_variables(event)},
        start_new_session=True,  # Ctrl-C reaches only the sweep; the whole group can be killed
    )
    try:
        _, errors = process.communicate(json.dumps(event).encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise HookError(f"{words[0]}: not done after {timeout:g} s") from None
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise HookError(": ".join([words[0], f"exit code {process.returncode}", *last]))


def event_variables(event: Mapping[str, Any]) -> dict[str, str]:
    """Returns the environment variables of a command; those without a value are empty."""
    keys = {
        "SWEEP_DIR": "directory",
        "SWEEP_TRIAL": "trial",
        "SWEEP_METRIC": "metric",
        "SWEEP_VALUE": "value",
    }
    values = {name: event[key] for name, key in keys.items()}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _start_thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True, name="hook")
    thread.start()
    return thread
