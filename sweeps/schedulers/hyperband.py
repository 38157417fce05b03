"""Internal state of HyperBand, BOHB's HyperBand and ASHA.

Ray offers no API for what a resumed sweep needs of these schedulers: which bracket a trial is in,
which trials a bracket waits for, and when it was halved. Their private names stand here only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket

from sweeps.spec.schedulers import TIME_ATTR, RungRule, hyperband_rungs


class RungBracket(_Bracket):
    """Bracket of HyperBand that is halved at given epochs.

    Ray multiplies the first one by the factor, again and again, and cuts off fractions: with 10
    epochs and a factor of 3, its trials end at epoch 9.

    Args:
        rungs: The epoch of each halving and the last epoch, in order; equal ones are one rung.
        options: Those of Ray's bracket.
    """

    def __init__(self, rungs: list[int], **options: Any) -> None:
        super().__init__(**options)
        self._rungs = rungs
        self._r = self._cumul_r = rungs[0]

    def successive_halving(self, metric: str, metric_op: float) -> tuple[list[Trial], list[Trial]]:
        """Halves the bracket; returns the trials that stay and those that do not."""
        while self._halves > 1 and self._rungs[-self._halves] == self._cumul_r:
            self._halves -= 1
            self._n = math.ceil(self._n / self._eta)
        good, bad = super().successive_halving(metric, metric_op)
        self._r = self._cumul_r = self._rungs[-1 - self._halves]
        return good, bad


class RungHyperBand(HyperBandScheduler):
    """HyperBand with the rungs of `hyperband_rungs`.

    Args:
        rule: How the rungs follow from the factor.
        options: Those of `HyperBandScheduler`.
    """

    def __init__(self, *, rule: RungRule, **options: Any) -> None:
        super().__init__(**options)
        self._rule = rule

    def _create_bracket(self, s: int) -> RungBracket:
        untyped: Any = self
        return RungBracket(
            hyperband_rungs(self._eta, self._max_t_attr, s, self._rule),
            time_attr=self._time_attr,
            max_trials=untyped._get_n0(s),
            init_t_attr=untyped._get_r0(s),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
            stop_last_trials=self._stop_last_trials,
        )


class RungBOHB(RungHyperBand, HyperBandForBOHB):
    """BOHB's HyperBand with the rungs of `hyperband_rungs`."""


class SeededASHA(AsyncHyperBandScheduler):
    """ASHA whose brackets follow from a seed and the order in which trials are added.

    Args:
        seed: The sweep's `tune.seed`.
        options: Those of `AsyncHyperBandScheduler`.
    """

    def __init__(self, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._seed = seed
        self._added = 0

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Adds a trial to a bracket, which Ray draws from NumPy's generator."""
        state = np.random.get_state()
        np.random.seed([self._seed & 0xFFFFFFFF, self._seed >> 32, self._added])
        self._added += 1
        try:
            super().on_trial_add(tune_controller, trial)
        finally:
            np.random.set_state(state)


def needs_all_trials(inner: TrialScheduler) -> bool:
    """Whether the trials wait for one another from the start, so that all must be live."""
    return isinstance(inner, HyperBandScheduler) and not isinstance(inner, HyperBandForBOHB)


class UnfinishedTrials:
    """Trials of Tune's controller that have not ended or are still being saved.

    A scheduler looks for a trial to run at every step, and thousands may have ended.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._unfinished: list[Trial] = []

    def update(self, controller: Any) -> list[Trial]:
        """Returns the current ones in order of creation.

        Args:
            controller: Always the same one; its trials are only ever appended to.
        """
        trials = controller.get_trials()
        new, self._seen = trials[self._seen :], len(trials)
        self._unfinished = [
            t for t in (*self._unfinished, *new) if not t.is_finished() or t.is_saving
        ]
        return self._unfinished


class DeferredStops:
    """Tune's controller as a scheduler sees it while it decides; trials are stopped later.

    A decision may stop other trials as well. They are stopped once the decision is in the log: a
    kill in between would otherwise leave the replayed scheduler with fewer trials than it had.
    """

    def __init__(
        self,
        inner: TrialScheduler,
        controller: Any,
        unfinished: UnfinishedTrials,
        is_hidden: Callable[[Trial], bool],
    ) -> None:
        self._inner = inner
        self._controller = controller
        self._unfinished = unfinished
        self._is_hidden = is_hidden
        self._to_stop: list[Trial] = []
        self._halvings = [(bracket, bracket._halves) for bracket in _brackets(inner)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)

    def get_trials(self) -> list[Trial]:
        """Returns the unfinished trials without those that are hidden from the scheduler."""
        trials = self._unfinished.update(self._controller)
        return [trial for trial in trials if not self._is_hidden(trial)]

    def stop_trial(self, trial: Trial) -> None:
        """Notes that a trial is to be stopped."""
        self._to_stop.append(trial)

    def trials_of_halved_brackets(self) -> list[Trial]:
        """Returns one trial of each bracket that BOHB's HyperBand has halved meanwhile."""
        if not isinstance(self._inner, HyperBandForBOHB):
            return []
        halved = (bracket for bracket, halves in self._halvings if bracket._halves != halves)
        return [bracket.current_trials()[0] for bracket in halved]

    def stop_deferred(self) -> None:
        """Stops the noted trials."""
        for trial in self._to_stop:
            self._controller.stop_trial(trial)


def sampled_bracket(inner: TrialScheduler, trial: Trial) -> dict[str, float] | None:
    """The bracket that ASHA sampled for a new trial; None if it has only one."""
    if isinstance(inner, AsyncHyperBandScheduler) and len(inner._brackets) > 1:
        return {"bracket": inner._brackets.index(inner._trial_info[trial.trial_id])}
    return None


def assign_bracket(inner: TrialScheduler, trial: Trial, sampled: dict[str, float] | None) -> None:
    """Puts a trial into the bracket that `sampled_bracket` returned for it."""
    if isinstance(inner, AsyncHyperBandScheduler) and sampled:
        inner._trial_info[trial.trial_id] = inner._brackets[int(sampled["bracket"])]


def is_waiting(inner: TrialScheduler, trial: Trial) -> bool:
    """Whether a trial is paused until others reach its rung; it then takes no slot."""
    if trial.status != Trial.PAUSED:
        return False
    if not isinstance(inner, HyperBandForBOHB) or trial not in inner._trial_info:
        return True
    bracket, _ = inner._trial_info[trial]
    return trial not in bracket.trials_to_unpause


def replay_halving(inner: TrialScheduler, controller: Any, trial: Trial) -> None:
    """Halves the bracket of a trial, as BOHB's HyperBand once did."""
    if isinstance(inner, HyperBandForBOHB):
        inner._process_bracket(controller, inner._trial_info[trial][0])


def decide_again(
    inner: TrialScheduler, controller: Any, trial: Trial, row: dict[str, Any], logged: str | None
) -> str:
    """Returns what a scheduler decides on a logged result.

    BOHB's HyperBand pauses a trial while another one of its bracket is being saved. In a replay
    every trial has been saved, and it would halve the bracket immediately.

    Args:
        inner: The scheduler.
        controller: The controller of the replay.
        trial: The trial that reported.
        row: Its result.
        logged: The decision in the log.
    """
    if not isinstance(inner, HyperBandForBOHB) or logged != TrialScheduler.PAUSE:
        return inner.on_trial_result(controller, trial, row)
    bracket, _ = inner._trial_info[trial]
    bracket.update_trial_stats(trial, row)
    if bracket.continue_trial(trial):
        return TrialScheduler.CONTINUE
    return TrialScheduler.PAUSE


def clear_processing_flag(inner: TrialScheduler) -> None:
    """Lets a bracket be halved again when one of its trials fails.

    HyperBand sets the flag while it halves a bracket and never clears it: trials that wait for
    one which then fails would wait forever.
    """
    for bracket in _brackets(inner):
        bracket.is_being_processed = False


def undo_pause(inner: TrialScheduler, trial: Trial) -> bool:
    """Makes HyperBand wait again for a trial that was lost before it was saved at its pause.

    The trial trains its last epochs again. HyperBand would halve the bracket meanwhile, since it
    does not expect a trial that has reached the rung and is not paused.

    Returns:
        Whether HyperBand has to be given the trial's last result again.
    """
    untyped: Any = inner
    if not needs_all_trials(inner) or trial not in untyped._trial_info:
        return False
    bracket, _ = untyped._trial_info[trial]
    result = bracket._live_trials.get(trial)
    if result is None or bracket.continue_trial(trial):
        return False
    bracket._completed_progress -= result[TIME_ATTR]
    bracket._live_trials[trial] = None
    return True


def stranded_trials(inner: TrialScheduler) -> list[Trial]:
    """Trials that HyperBand has paused at their last epoch and would never end.

    It ends them when the last trial of their bracket gets there, but not if that trial fails, and
    not those that are being saved at that moment.
    """
    complete = [bracket for bracket in _brackets(inner) if bracket.finished()]
    trials = itertools.chain.from_iterable(bracket.current_trials() for bracket in complete)
    return [trial for trial in trials if trial.status == Trial.PAUSED]


def _brackets(inner: TrialScheduler) -> list[Any]:
    """HyperBand's brackets; none for another scheduler."""
    bands = inner._hyperbands if isinstance(inner, HyperBandScheduler) else []
    return [bracket for band in bands for bracket in band if bracket is not None]
