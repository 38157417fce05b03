"""A command or a URL of the user's that hears of a new best trial and of the sweep's end.

Nothing that it does, or does not do, reaches the sweep: it runs in a thread beside it, for a
limited time, and a failure of it is one line.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import shlex
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sweeps.results.trial_results import TrialResult
from sweeps.spec.settings import Hooks, Mode, is_url
from sweeps.sweep_dir.layout import SweepRecord
from sweeps.terminal.console import say

BETWEEN_BESTS_S = 1.0
SHOWN = 200
"""Characters of a failure that are said at most."""

_URL = re.compile(r"(https?://)[^\s'\"<>]+", re.IGNORECASE)

Event = dict[str, Any]


class HookRunner:
    """Tells the hooks of one run of a sweep what happens.

    Args:
        hooks: As in the search file.
        place: The directory, or the address, of the sweep when it is over.
        metric: What trials are ranked by.
        mode: `max` or `min`, of the metric.
        before: The best metric of each trial that there is already.
    """

    def __init__(
        self,
        hooks: Hooks,
        place: str | Path,
        *,
        metric: str,
        mode: Mode,
        before: Iterable[float | None] = (),
    ) -> None:
        self._hooks = hooks
        self._place = str(place)
        self._sweep = urlsplit(self._place).path.rpartition("/")[2]
        self._metric = metric
        self._best_of = max if mode == "max" else min
        known = [value for value in before if value is not None]
        self._best = self._best_of(known, default=None)
        self._waiting: Event | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and no process ever takes this one up."""
        return {}

    def note(self, trial: str, value: float | None, epoch: int) -> None:
        """A trial has reported its metric; `on_best` hears of it if none was as good before."""
        if value is None or not math.isfinite(value) or value == self._best:
            return
        if self._best is not None and self._best_of(value, self._best) != value:
            return
        self._best = value
        if self._hooks.on_best is None:
            return
        event = self._event("best", trial, value, epoch)
        with self._changed:
            self._waiting = event
            self._changed.notify()
        if self._thread is None:
            self._thread = _started(self._tell_bests)

    def finish(self, record: SweepRecord, results: list[TrialResult]) -> None:
        """The run is over: waits for the hooks, but for no longer than they may take.

        Args:
            record: Says whether the sweep has finished or is paused.
            results: Its trials, best first.
        """
        limit = self._hooks.timeout + 1  # a hook that is ended at its limit needs a moment
        if self._thread is not None:
            with self._changed:
                self._ending = True
                self._changed.notify()
            self._thread.join(limit)
        if self._hooks.on_finish is None:
            return
        first, row = (results[0], results[0].best) if results else (None, None)
        best = (first.record.id, row[self._metric], row["epoch"]) if first and row else [None] * 3
        event = self._event("finish", *best)
        event |= {"state": record.state, "reason": record.reason, "trials": record.trials}
        _started(lambda: self._tell("on_finish", event)).join(limit)

    def _event(
        self, name: str, trial: str | None, value: float | None, epoch: int | None
    ) -> Event:
        return {
            "event": name,
            "sweep": self._sweep,
            "directory": self._place,
            "trial": trial,
            "metric": self._metric,
            "value": value,
            "epoch": epoch,
        }

    def _tell_bests(self) -> None:
        """Tells `on_best` the newest best, then nothing for a while, until the sweep ends."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ending)
                event, self._waiting = self._waiting, None
            if event is None:
                return
            begun = time.monotonic()
            self._tell("on_best", event)
            left = begun + BETWEEN_BESTS_S - time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._ending, timeout=left)

    def _tell(self, key: str, event: Event) -> None:
        target = getattr(self._hooks, key)
        call = post if is_url(target) else run_command
        try:
            call(target, event, self._hooks.timeout)
        except (HookError, OSError, ValueError) as error:
            reason = masked(" ".join(str(error).split()))
            say(f"hooks.{key} failed, which is no matter to the sweep: {reason[:SHOWN]}")


class HookError(Exception):
    """A hook has not done what it is for."""


def run_command(command: str, event: Event, timeout: float) -> None:
    """Runs a command with the event on its standard input and in its environment.

    Raises:
        HookError: It exits with another code than 0, or takes too long.
        OSError: It cannot be started.
    """
    words = shlex.split(command)
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment(event)},
        start_new_session=True,  # Ctrl-C is the sweep's, and all that it started can be ended
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


def environment(event: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a command gets; empty where there is nothing to say."""
    names = {
        "SWEEP_DIR": "directory",
        "SWEEP_TRIAL": "trial",
        "SWEEP_METRIC": "metric",
        "SWEEP_VALUE": "value",
    }
    found = {name: event[key] for name, key in names.items()}
    return {name: "" if value is None else str(value) for name, value in found.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address would get what is meant for this one."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Declines; the answer is an error then."""


def post(url: str, event: Event, timeout: float) -> None:
    """Sends the event as JSON.

    Raises:
        HookError: It cannot be sent, or the answer is not a good one.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(
        urlunsplit(parts._replace(netloc=host)),
        data=json.dumps(event).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "tune-sweeps"},
    )
    if at:
        secret = base64.b64encode(unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
            return  # the answer's code is all that counts
    except urllib.error.HTTPError as error:
        reason = f"answered {error.code}"
    except urllib.error.URLError as error:
        reason = str(error.reason)
    except (OSError, ValueError, HTTPException) as error:
        reason = type(error).__name__  # its text may have the path in it
    raise HookError(f"{host}: {reason}")


def masked(text: str) -> str:
    """A text with nothing left of its URLs but the host: the rest may be secret."""

    def host_only(found: re.Match[str]) -> str:
        host = found[0].partition("://")[2]
        host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2]
        return f"{found[1]}{host}/..."

    return _URL.sub(host_only, text)


def _started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True, name="hook")
    thread.start()
    return thread
