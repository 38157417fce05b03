"""What a scheduler gets to see while it is replayed, and what it would not do by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.schedulers.build import TIME_ATTR
from sweeps.schedulers.pbt import remember
from sweeps.sweep_dir.event_log import ENDS, Event


class Unasked:
    """A searcher to which BOHB's HyperBand tells its pauses, which nobody here needs to know."""

    def on_pause(self, trial_id: str) -> None:
        """A trial was paused."""

    def on_unpause(self, trial_id: str) -> None:
        """A trial goes on."""


class ReplayedController:
    """As much of Tune's controller as schedulers ask while they are replayed."""

    def __init__(self, scheduler: TrialScheduler, trials: Mapping[str, Trial]) -> None:
        self._scheduler = scheduler
        self._trials = trials
        self.search_alg = SimpleNamespace(searcher=Unasked())

    def get_trials(self) -> list[Trial]:
        """Every trial, ended or not."""
        return list(self._trials.values())

    def get_live_trials(self) -> set[Trial]:
        """Those that have not ended."""
        return {t for t in self._trials.values() if not t.is_finished()}

    def stop_trial(self, trial: Trial) -> None:
        """Ends one, a waiting one by the scheduler's leave."""
        if trial.status in {Trial.PENDING, Trial.PAUSED}:
            controller: Any = self
            self._scheduler.on_trial_remove(controller, trial)
        trial.set_status(Trial.TERMINATED)


class Unended:
    """The trials of Tune's controller that have not come to rest.

    There may be thousands that have, and a scheduler looks for one to run at every step.
    """

    def __init__(self) -> None:
        self._looked_at = 0
        self._open: list[Trial] = []

    def of(self, controller: Any) -> list[Trial]:
        """Those that there are now, in order; of Tune's, which only ever adds some at the end."""
        trials = controller.get_trials()
        new, self._looked_at = trials[self._looked_at :], len(trials)
        self._open = [t for t in (*self._open, *new) if not t.is_finished() or t.is_saving]
        return self._open


class StopsLater:
    """Tune's controller as a scheduler sees it while it decides.

    Whom it stops is stopped afterwards, when the decision is in the log: else a kill in between
    would leave the scheduler with fewer trials to decide on than it had.
    """

    def __init__(self, inner: TrialScheduler, controller: Any, unended: Unended) -> None:
        self._inner = inner
        self._controller = controller
        self._unended = unended
        self._stopped: list[Trial] = []
        self._before = [(bracket, bracket._halves) for bracket in _brackets(inner)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)

    def get_trials(self) -> list[Trial]:
        """Those that have not ended."""
        return self._unended.of(self._controller)

    def stop_trial(self, trial: Trial) -> None:
        """Notes that a trial is to be stopped."""
        self._stopped.append(trial)

    def halved(self) -> list[Trial]:
        """A trial of each bracket that BOHB's HyperBand has halved meanwhile."""
        if not isinstance(self._inner, HyperBandForBOHB):
            return []
        changed = (bracket for bracket, halves in self._before if bracket._halves != halves)
        return [bracket.current_trials()[0] for bracket in changed]

    def stop_noted(self) -> None:
        """Stops them."""
        for trial in self._stopped:
            self._controller.stop_trial(trial)


def drawn(inner: TrialScheduler, trial: Trial) -> dict[str, float] | None:
    """What ASHA drew for a new trial: with several brackets, the one that it is in."""
    if isinstance(inner, AsyncHyperBandScheduler) and len(inner._brackets) > 1:
        return {"bracket": inner._brackets.index(inner._trial_info[trial.trial_id])}
    return None


def draw_again(inner: TrialScheduler, trial: Trial, event: Event) -> None:
    """Puts a trial into the bracket that was drawn for it."""
    if isinstance(inner, AsyncHyperBandScheduler) and event.metrics:
        bracket = inner._brackets[int(event.metrics["bracket"])]
        inner._trial_info[trial.trial_id] = bracket


def waits(inner: TrialScheduler, trial: Trial) -> bool:
    """Whether a trial is paused until others have come as far, and takes nobody's place."""
    if trial.status != Trial.PAUSED:
        return False
    if not isinstance(inner, HyperBandForBOHB) or trial not in inner._trial_info:
        return True
    bracket, _ = inner._trial_info[trial]
    return trial not in bracket.trials_to_unpause


def began(inner: TrialScheduler, trial: Trial) -> bool:
    """Whether a trial without a result had its first epoch begun: BOHB's are made for free slots.

    It would be behind those of earlier brackets that have been let go on since.
    """
    return isinstance(inner, HyperBandForBOHB) and trial.status == Trial.PENDING


def tell(
    inner: TrialScheduler,
    controller: Any,
    known: set[str],
    trial: Trial,
    event: Event,
    *,
    stays: bool,
) -> str | None:
    """Tells a scheduler one recorded event; returns what it decides on a result.

    Args:
        inner: The real scheduler.
        controller: A `ReplayedController` of it.
        known: Ids of the trials that it has been told of and that have not ended; kept up here.
        trial: The event's.
        event: What was recorded.
        stays: Whether the trial has ended for good; else its end is not told.
    """
    row = {TIME_ATTR: event.epoch, "training_iteration": event.epoch, **(event.metrics or {})}
    if event.kind == "add":
        if trial.trial_id not in known:
            known.add(trial.trial_id)
            inner.on_trial_add(controller, trial)
            draw_again(inner, trial, event)
        return None
    if trial.trial_id not in known or (event.kind in ENDS and not stays):
        return None
    decision = None
    if event.kind == "back":
        step_back(inner, trial)
        trial.set_status(Trial.RUNNING)
    elif event.kind == "halve":
        if isinstance(inner, HyperBandForBOHB):
            inner._process_bracket(controller, inner._trial_info[trial][0])
    elif event.kind == "result":
        trial.set_status(Trial.RUNNING)
        decision = _decide_again(inner, controller, trial, event, row)
        trial.set_status(Trial.PAUSED if decision == TrialScheduler.PAUSE else Trial.RUNNING)
    else:
        known.discard(trial.trial_id)
        _tell_end(inner, controller, trial, event, row)
        trial.set_status(Trial.TERMINATED)
    unmark(inner)
    return decision


def _decide_again(
    inner: TrialScheduler, controller: Any, trial: Trial, event: Event, row: dict[str, Any]
) -> str:
    """What a scheduler decides on a recorded result.

    BOHB's HyperBand pauses a trial while another one of its bracket has not been saved yet. Here
    all have been, and it would halve the bracket at once.
    """
    if not isinstance(inner, HyperBandForBOHB) or event.decision != TrialScheduler.PAUSE:
        return inner.on_trial_result(controller, trial, row)
    bracket, _ = inner._trial_info[trial]
    bracket.update_trial_stats(trial, row)
    goes_on = bracket.continue_trial(trial)
    return TrialScheduler.CONTINUE if goes_on else TrialScheduler.PAUSE


def _tell_end(
    inner: TrialScheduler, controller: Any, trial: Trial, event: Event, row: dict[str, Any]
) -> None:
    if event.kind == "remove":
        if trial.status != Trial.TERMINATED:
            inner.on_trial_remove(controller, trial)
    elif event.kind == "error" or not finite(row.get(str(inner.metric), 0.0)):
        inner.on_trial_error(controller, trial)
    else:
        inner.on_trial_complete(controller, trial, row)


def tell_population(
    pbt: PopulationBasedTraining, known: set[str], trial: Trial, event: Event
) -> None:
    """PBT: scores and times only; told the results, it would exploit and mutate again."""
    if event.kind == "add" and trial.trial_id not in known:
        known.add(trial.trial_id)
        controller: Any = ReplayedController(pbt, {})
        pbt.on_trial_add(controller, trial)
    elif event.kind == "result":
        row = {TIME_ATTR: event.epoch, **(event.metrics or {})}
        remember(pbt, trial, event.epoch, row)


def finite(value: Any) -> bool:
    """Whether it is a number that trials can be compared by."""
    return isinstance(value, int | float) and math.isfinite(value)


def unmark(inner: TrialScheduler) -> None:
    """Lets a bracket be halved when one of its trials fails, also if it was halved before.

    HyperBand marks a bracket while it halves it and never takes the mark away: those that wait
    for a trial which then fails would wait for ever.
    """
    for bracket in _brackets(inner):
        bracket.is_being_processed = False


def step_back(inner: TrialScheduler, trial: Trial) -> bool:
    """Lets HyperBand wait again for a trial that was lost before it was saved at its pause.

    It trains its last epochs once more. HyperBand would halve the bracket meanwhile, and knows of
    no trial that has come as far and yet is not paused.

    Returns:
        Whether HyperBand has to be told its last result again.
    """
    if type(inner) is not HyperBandScheduler or trial not in inner._trial_info:
        return False
    bracket, _ = inner._trial_info[trial]
    result = bracket._live_trials.get(trial)
    if result is None or bracket.continue_trial(trial):
        return False
    bracket._completed_progress -= result[TIME_ATTR]
    bracket._live_trials[trial] = None
    return True


def settle(inner: TrialScheduler, trials: Mapping[str, Trial], ended: set[str]) -> set[str]:
    """Gives replayed trials the statuses with which Tune gets them.

    Returns:
        The ids of those in the middle of which an earlier process ended.
    """
    interrupted = set()
    for id_, trial in trials.items():
        if id_ in ended:
            trial.set_status(Trial.TERMINATED)
        elif trial.status == Trial.RUNNING or began(inner, trial):
            trial.set_status(Trial.PENDING)
            interrupted.add(id_)
    return interrupted


def left_waiting(inner: TrialScheduler) -> list[Trial]:
    """Trials that HyperBand has paused at their last epoch and would forget.

    It ends them when the last trial of their bracket comes as far; not if that one fails, and
    none that is just being saved.
    """
    through = [bracket for bracket in _brackets(inner) if bracket.finished()]
    waiting = itertools.chain.from_iterable(bracket.current_trials() for bracket in through)
    return [trial for trial in waiting if trial.status == Trial.PAUSED]


def _brackets(inner: TrialScheduler) -> list[Any]:
    """HyperBand's; none of another scheduler."""
    bands = inner._hyperbands if isinstance(inner, HyperBandScheduler) else []
    return [bracket for band in bands for bracket in band if bracket is not None]
