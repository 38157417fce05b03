"""Looks for requests between the steps of Tune's loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.execution.recorder import RecordWriter
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.steering.inbox import Inbox, describe
from sweeps.terminal.console import print_line
from sweeps.trials.pause import PauseSwitch

POLL_INTERVAL_S = 0.5
"""Shortest time between two looks for requests."""


class RequestCallback(Callback):
    """Takes requests, and pauses the sweep when only held trials are left.

    Args:
        inbox: The requests.
        scheduler: The sweep's scheduler.
        writer: Writes the records.
        switch: Requested when only held trials are left, or the disk is full.
        is_idle: Whether no trial can be created now although slots are free.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        inbox: Inbox,
        scheduler: RecordingScheduler,
        writer: RecordWriter,
        switch: PauseSwitch,
        is_idle: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._by_hand = scheduler.by_hand
        self._writer = writer
        self._switch = switch
        self._is_idle = is_idle
        self._clock = clock
        self._next_poll = clock()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}

    def look_at_once(self) -> None:
        """Takes requests before the next step, whenever it looked last."""
        self._next_poll = self._clock()

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Takes requests if the interval is over."""
        del iteration, info
        if self._clock() < self._next_poll:
            return
        self._next_poll = self._clock() + POLL_INTERVAL_S
        with self._switch.on_full_disk():
            judgements = self._inbox.poll()
            for judgement in judgements:
                refusal = "" if judgement.accepted else f" is refused: {judgement.reason}"
                print_line(f"request: {describe(judgement)}{refusal}")
            if self._by_hand.held and not judgements:
                self._note_held(trials)

    def _note_held(self, trials: list[Trial]) -> None:
        """Records held trials as paused; pauses the sweep if no other is left."""
        others = False
        for trial in trials:
            if trial.is_finished():
                continue
            if not self._by_hand.is_at_rest(trial):
                others = True
                continue
            record = self._writer.trials[trial.trial_id]
            if record.state == "running":
                record.state = "paused"
                self._writer.write_trial(record)
        if not others and self._is_idle() and self._switch.reason is None:
            self._switch.request("held")
