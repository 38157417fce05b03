"""Replays logged events into a fresh scheduler.

The event log holds every result, start and end that the scheduler was given, in order, and what it
decided. After a replay the scheduler decides as if the sweep had never been interrupted, wherever
the log was cut. Random choices are taken from the log and not made again: ASHA's brackets, and the
exploits of PBT, which are recorded with their trials. A decision that differs from the logged one
is reported; the logged one holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandForBOHB, TrialScheduler

from sweeps.schedulers import hyperband
from sweeps.schedulers.pbt import Population, record_result, rewind_trial
from sweeps.spec.schedulers import TIME_ATTR
from sweeps.sweep_dir.event_log import ENDS, Event
from trainable.artifacts.metrics import is_scored


class NullSearcher:
    """Searcher that ignores the pauses which BOHB's HyperBand reports to its searcher."""

    def on_pause(self, trial_id: str) -> None:
        """Ignores that a trial was paused."""

    def on_unpause(self, trial_id: str) -> None:
        """Ignores that a paused trial continues."""


class ReplayedController:
    """The part of Tune's controller that schedulers use while they are replayed."""

    def __init__(self, scheduler: TrialScheduler, trials: Mapping[str, Trial]) -> None:
        self._scheduler = scheduler
        self._trials = trials
        self.search_alg = SimpleNamespace(searcher=NullSearcher())

    def get_trials(self) -> list[Trial]:
        """Returns every trial, ended or not."""
        return list(self._trials.values())

    def get_live_trials(self) -> set[Trial]:
        """Returns the trials that have not ended."""
        return {t for t in self._trials.values() if not t.is_finished()}

    def stop_trial(self, trial: Trial) -> None:
        """Ends a trial; the scheduler is informed if the trial was not running."""
        if trial.status in {Trial.PENDING, Trial.PAUSED}:
            controller: Any = self
            self._scheduler.on_trial_remove(controller, trial)
        trial.set_status(Trial.TERMINATED)


def replay_event(
    inner: TrialScheduler,
    controller: Any,
    active_ids: set[str],
    trial: Trial,
    event: Event,
    *,
    has_ended: bool,
) -> str | None:
    """Gives a scheduler one logged event; returns its decision on a result.

    Args:
        inner: The real scheduler.
        controller: Its `ReplayedController`.
        active_ids: Ids of the trials that it was given and that have not ended; updated here.
        trial: The event's trial.
        event: The logged event.
        has_ended: Whether the trial has ended for good; otherwise its end is skipped.
    """
    row = {TIME_ATTR: event.epoch, "training_iteration": event.epoch, **(event.metrics or {})}
    if event.kind == "add":
        if trial.trial_id not in active_ids:
            active_ids.add(trial.trial_id)
            if trial.is_finished():  # it was retried
                trial.set_status(Trial.PENDING)
            inner.on_trial_add(controller, trial)
            hyperband.assign_bracket(inner, trial, event.metrics)
        return None
    if trial.trial_id not in active_ids or (event.kind in ENDS and not has_ended):
        return None
    decision = None
    if event.kind == "back":
        hyperband.undo_pause(inner, trial)
        trial.set_status(Trial.RUNNING)
    elif event.kind == "halve":
        hyperband.replay_halving(inner, controller, trial)
    elif event.kind == "result":
        trial.set_status(Trial.RUNNING)
        decision = hyperband.decide_again(inner, controller, trial, row, event.decision)
        trial.set_status(Trial.PAUSED if decision == TrialScheduler.PAUSE else Trial.RUNNING)
    elif event.kind in ENDS:
        active_ids.discard(trial.trial_id)
        _replay_end(inner, controller, trial, event, row)
        trial.set_status(Trial.TERMINATED)
    hyperband.clear_processing_flag(inner)
    return decision


def find_ends(events: Sequence[Event], ended: Collection[str]) -> set[int]:
    """Returns the positions of the ends that schedulers are given in a replay.

    A trial that goes on after its last end is retried: that end is skipped, unless the trial was
    added anew behind it.

    Args:
        events: The event log, in order.
        ended: Ids of the trials that stay ended.
    """
    ends: set[int] = set()
    has_later_end: set[str] = set()
    has_later_add: set[str] = set()
    for position in range(len(events) - 1, -1, -1):
        event = events[position]
        if event.kind == "add":
            has_later_add.add(event.trial)
        elif event.kind in ENDS:
            is_last = event.trial in ended and event.trial not in has_later_end
            if is_last or event.trial in has_later_add:
                ends.add(position)
            has_later_end.add(event.trial)
            has_later_add.discard(event.trial)
    return ends


def _replay_end(
    inner: TrialScheduler, controller: Any, trial: Trial, event: Event, row: dict[str, Any]
) -> None:
    if event.kind == "remove":
        if trial.status != Trial.TERMINATED:
            inner.on_trial_remove(controller, trial)
    elif event.kind == "error" or not is_comparable(row, inner.metric):
        inner.on_trial_error(controller, trial)
    else:
        inner.on_trial_complete(controller, trial, row)


def replay_population_event(
    pbt: Population, active_ids: set[str], trial: Trial, event: Event
) -> None:
    """Gives PBT the scores and times of one event; with the result itself it would exploit."""
    if event.kind == "add" and trial.trial_id not in active_ids:
        active_ids.add(trial.trial_id)
        if not rewind_trial(pbt, trial, event.epoch):  # else it is retried
            controller: Any = ReplayedController(pbt, {})
            pbt.on_trial_add(controller, trial)
    elif event.kind == "result":
        row = {TIME_ATTR: event.epoch, **(event.metrics or {})}
        record_result(pbt, trial, event.epoch, row)


def assign_statuses(
    inner: TrialScheduler, trials: Mapping[str, Trial], ended: set[str]
) -> set[str]:
    """Sets the statuses with which Tune gets replayed trials.

    Returns:
        The ids of the trials that were running when the previous driver died.
    """
    interrupted = set()
    for id_, trial in trials.items():
        if id_ in ended:
            trial.set_status(Trial.TERMINATED)
        elif trial.status == Trial.RUNNING or _was_started(inner, trial):
            trial.set_status(Trial.PENDING)
            interrupted.add(id_)
    return interrupted


def _was_started(inner: TrialScheduler, trial: Trial) -> bool:
    """Whether a trial without a result had started: BOHB's are only created for free slots.

    Such a trial goes first, or trials of earlier brackets that may continue would overtake it.
    """
    return isinstance(inner, HyperBandForBOHB) and trial.status == Trial.PENDING


def is_comparable(row: Mapping[str, Any], metric: str | None) -> bool:
    """Whether a scheduler may compare trials by the last epoch of one: no loss is infinite or NaN.

    Args:
        row: The epoch's metrics.
        metric: The scheduler's metric; None if it compares nothing.
    """
    return metric is None or is_scored(row, metric)
