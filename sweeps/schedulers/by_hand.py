"""Trials that requests of the user stop or pause while the sweep runs.

A stopped trial ends after the epoch that it is training, or at once if it waits. A paused one is
held: it is saved after that epoch and hidden from the real scheduler, which would start it again,
until it is resumed and a slot is free. A trial that goes back to its last checkpoint trains until
that epoch again, so that a resumed sweep has the epochs of an uninterrupted one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.sweep_dir.event_log import Event

WAITING = (Trial.PENDING, Trial.PAUSED)
NEVER = sys.maxsize
"""An epoch that no trial reaches."""


class ByHand:
    """The trials of a sweep that are stopped or held by requests."""

    def __init__(self) -> None:
        self.stopping: dict[str, int] = {}
        """Trial that is to be stopped -> the epoch until which it trains."""
        self.held: dict[str, int] = {}
        """Trial that is paused until it is resumed -> the epoch until which it trains."""
        self.limit: Callable[[], int] | None = None
        """Returns the most live trials; None for no limit."""
        self._released: list[str] = []
        """Resumed trials that wait for a slot, in order."""

    def restore(
        self, stopping: Mapping[str, int], held: Mapping[str, int], released: Iterable[str] = ()
    ) -> None:
        """Takes the trials that earlier runs of the sweep were to stop, hold or release."""
        self.stopping.update(stopping)
        self.held.update(held)
        self._released.extend(released)

    def stop(self, trial_id: str, epoch: int) -> None:
        """Has a trial stopped after an epoch, whether it is held or not."""
        self.stopping[trial_id] = epoch
        self._show(trial_id)

    def hold(self, trial_id: str, epoch: int) -> None:
        """Holds a trial after an epoch."""
        self._show(trial_id)
        self.held[trial_id] = epoch

    def release(self, trial_id: str) -> None:
        """Lets a held trial go on as soon as a slot is free."""
        if trial_id in self.held:
            del self.held[trial_id]
            self._released.append(trial_id)

    def forget(self, trial_id: str) -> None:
        """Drops a trial that has ended."""
        self.stopping.pop(trial_id, None)
        self._show(trial_id)

    def _show(self, trial_id: str) -> None:
        self.held.pop(trial_id, None)
        if trial_id in self._released:
            self._released.remove(trial_id)

    def is_hidden(self, trial: Trial) -> bool:
        """Whether the real scheduler does not see a trial."""
        return trial.trial_id in self._released or self._is_held(trial)

    def _is_held(self, trial: Trial) -> bool:
        """Whether a trial is held and has reached the epoch until which it trains."""
        epoch = self.held.get(trial.trial_id)
        return epoch is not None and trial.status in WAITING and _epoch_of(trial) >= epoch

    def takes_slot(self, trial: Trial) -> bool | None:
        """Whether a trial counts as one that runs; None if that is up to the real scheduler."""
        if trial.trial_id in self._released:
            return True
        return False if self._is_held(trial) else None

    def is_at_rest(self, trial: Trial) -> bool:
        """Whether a trial is held and saved, or held before it has begun."""
        return trial.status == Trial.PAUSED and not trial.is_saving and self._is_held(trial)

    def overrule(self, trial: Trial, epoch: int, decision: str) -> str:
        """Returns the decision on an epoch of a trial.

        Args:
            trial: The trial.
            epoch: The epoch.
            decision: The real scheduler's decision.
        """
        if decision == TrialScheduler.STOP:
            return decision
        if epoch >= self.stopping.get(trial.trial_id, NEVER):
            return TrialScheduler.STOP
        is_held = epoch >= self.held.get(trial.trial_id, NEVER)
        holds = is_held and decision == TrialScheduler.CONTINUE
        return TrialScheduler.PAUSE if holds else decision

    def act(self, controller: Any, trials: Iterable[Trial]) -> None:
        """Stops waiting trials that are to be stopped, and keeps Tune from starting held ones.

        Args:
            controller: Tune's controller.
            trials: Those that have not ended.
        """
        if not self.stopping and not self.held:
            return
        for trial in list(trials):
            if trial.status not in WAITING or trial.is_saving:
                continue
            is_stopping = trial.trial_id in self.stopping
            # The real scheduler may have paused it before that epoch.
            if is_stopping and (
                trial.status == Trial.PAUSED or _epoch_of(trial) >= self.stopping[trial.trial_id]
            ):
                controller.stop_trial(trial)
            elif self._is_held(trial) and trial.status == Trial.PENDING:
                controller._set_trial_status(trial, Trial.PAUSED)

    def show_released(
        self, controller: Any, trials: Collection[Trial], takes_slot: Callable[[Trial], bool]
    ) -> set[str]:
        """Shows resumed trials to the real scheduler while there are free slots.

        Args:
            controller: Tune's controller.
            trials: Those that have not ended.
            takes_slot: Whether a trial takes a slot.

        Returns:
            Ids of the trials that are shown now; they are PENDING.
        """
        if not self._released:
            return set()
        by_id = {trial.trial_id: trial for trial in trials}
        taken = sum(takes_slot(trial) and not self.is_hidden(trial) for trial in trials)
        limit = self.limit() if self.limit is not None else None
        shown: set[str] = set()
        for trial_id in list(self._released):
            trial = by_id.get(trial_id)
            if trial is None:  # Tune has not got it yet
                continue
            if trial.status not in WAITING:  # it has not paused yet, or has ended
                self._released.remove(trial_id)
            elif not trial.is_saving and (limit is None or taken < limit):
                self._released.remove(trial_id)
                controller._set_trial_status(trial, Trial.PENDING)
                shown.add(trial_id)
                taken += 1
        return shown

    def restore_statuses(self, trials: Mapping[str, Trial]) -> set[str]:
        """Pauses the held trials of a resumed sweep, and those that wait for a slot since.

        Returns:
            The ids of the trials.
        """
        waiting = [
            trial
            for id_, trial in trials.items()
            if not trial.is_finished() and (self._is_held(trial) or id_ in self._released)
        ]
        for trial in waiting:
            trial.set_status(Trial.PAUSED)
        return {trial.trial_id for trial in waiting}


def _epoch_of(trial: Trial) -> int:
    epoch: int = (trial.last_result or {}).get("epoch", 0)
    return epoch


def own_decision(event: Event) -> Event:
    """Returns a logged result with the decision that the real scheduler made on it."""
    if not event.asked:
        return event
    return replace(event, decision=event.own or TrialScheduler.CONTINUE)
