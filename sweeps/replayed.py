"""What a scheduler gets to see while it is replayed, and what it had drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandForBOHB, TrialScheduler

from sweeps.events import Event


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


def halve_if_it_was(inner: TrialScheduler, controller: Any, trial: Trial) -> None:
    """Lets a waiting trial go on whose bracket was halved without an event.

    BOHB's HyperBand does so when it is asked for a trial to run and none is running.
    """
    if isinstance(inner, HyperBandForBOHB) and trial.status == Trial.PAUSED:
        bracket, _ = inner._trial_info[trial]
        if trial not in bracket.trials_to_unpause:
            inner._process_bracket(controller, bracket)
