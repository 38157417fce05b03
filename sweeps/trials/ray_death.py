"""Pauses a sweep whose Ray has died, before Ray's own code ends the process without a record."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sweeps.cluster.local_ray import end_local, kill_local
from sweeps.cluster.watch import find_endpoints, watching
from sweeps.terminal.console import console, print_line
from sweeps.trials.pause import EXIT_CODES, PauseSwitch, RayDied

GRACE_S = 5.0
"""Longest wait for Tune's loop to end. In a call that waits for Ray it never does, and Ray ends
the process after 60 seconds."""


class RayDeath:
    """Ends Tune's loop if Ray dies.

    Args:
        switch: Gets the reason `ray_died`.
        record_end: Records the sweep as paused, and returns the command that resumes it. Called
            only if the loop does not end, just before the process does.
    """

    def __init__(self, switch: PauseSwitch, record_end: Callable[[], str]) -> None:
        self._switch = switch
        self._record_end = record_end
        self._loop_ended = threading.Event()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Watches Ray until the context is left, by `RayDied` if Ray has died."""
        with watching(find_endpoints(), self._end_loop):
            try:
                yield
            except RayDied:
                pass
            finally:
                self._loop_ended.set()
        if self._switch.reason == "ray_died":
            end_local()

    def _end_loop(self, process: str) -> None:
        kill_local()  # before the sweep counts as paused
        print_line(f"Ray has died, {process} does not respond: running trials lose their epoch")
        self._switch.replace("ray_died")
        if self._loop_ended.wait(GRACE_S):
            return
        print_line(f"paused by the death of Ray; resume it with:\n{self._record_end()}")
        console.show_cursor()
        os._exit(EXIT_CODES["ray_died"])
