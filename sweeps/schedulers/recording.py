"""The scheduler as Tune sees it: delegates to the real one and logs events for a replay.

A decision is CONTINUE, PAUSE or STOP. STOP ends a trial for good: its slot goes to another trial
and its score counts for the search. PAUSE only saves it and frees its slot; it continues later
from that checkpoint. HyperBand pauses a trial at a rung until the rest of its bracket has got
there, and a pausing sweep pauses every running trial at its next result. So a paused trial has to
be found again when the sweep is resumed, and a stopped one must not be. A request of the user can
overrule a CONTINUE (see `by_hand`); the log then also has what the real scheduler decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.schedulers import hyperband
from sweeps.schedulers.by_hand import ByHand, own_decision
from sweeps.schedulers.hyperband import DeferredStops, UnfinishedTrials
from sweeps.schedulers.pbt import IN_CONFIG, Population, rewind, rewind_trial
from sweeps.schedulers.replaced_trials import replace_trial
from sweeps.schedulers.replay import (
    ReplayedController,
    assign_statuses,
    find_ends,
    is_comparable,
    replay_event,
    replay_population_event,
)
from sweeps.spec.schedulers import TIME_ATTR
from sweeps.sweep_dir.event_log import ENDS, Event, EventLog
from sweeps.trials.killed_workers import report_killed_workers
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import failure_key_of, is_final

WORST = 1e300
"""Stands for a metric that is not defined; with the sign that its mode dislikes."""


class RecordingScheduler(TrialScheduler):
    """Delegates to a real scheduler and logs its events and decisions.

    Args:
        inner: The real scheduler, with its metric and mode.
        log: The sweep's event log.
        switch: Says whether the sweep is to pause.
        stopper: Gets the number of trials that are still running.
        metrics: Names of the numbers in a result that are logged, each with its mode.
        mutated: Keys that the real scheduler changes; their values are logged with the numbers.
        saves: Whether trials save checkpoints. If not, a pausing sweep leaves them where they are
            after their epoch, because PAUSE would write a checkpoint.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        inner: TrialScheduler,
        log: EventLog,
        switch: PauseSwitch,
        stopper: PauseStopper,
        metrics: Mapping[str, str],
        mutated: Iterable[str] = (),
        *,
        saves: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inner = inner
        self._log = log
        self._switch = switch
        self._stopper = stopper
        self.by_hand = ByHand()
        """The trials that requests stop or hold."""
        self._modes = metrics
        self._metrics = (*metrics, "time_total_s", *(f"{IN_CONFIG}{key}" for key in mutated))
        self._decisions: dict[str, dict[int, str]] = {}
        """Trial -> epoch -> decision. A trial that went back to its last checkpoint repeats
        epochs; the real scheduler is not given them twice."""
        self._active_ids: set[str] = set()
        self._in_scheduler_call = False
        self._unfinished = UnfinishedTrials()
        self._saves = saves
        self._left_idle: set[str] = set()
        """Trials that have no more epochs to train in this run, because the sweep pauses."""
        self._interrupted: set[str] = set()
        """Trials that were running when the previous driver died; they go first. HyperBand may
        have dropped one that was stopped and not yet saved, and would never run it."""

    @property
    def metric(self) -> str | None:
        """The real scheduler's metric."""
        metric: str | None = self.inner.metric
        return metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accepts and ignores them: the real scheduler has its metric and mode already."""
        del metric, mode, spec
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Adds a new trial or one that is retried.

        Trials that a replay has added already are skipped, and so are ended ones, which a resumed
        sweep gives Tune as well.
        """
        report_killed_workers(tune_controller)
        if trial.trial_id in self._active_ids or trial.is_finished() or is_final(trial):
            return
        self._active_ids.add(trial.trial_id)
        epoch = 0
        if replace_trial(self.inner, trial) and isinstance(self.inner, Population):
            epoch = (trial.last_result or {}).get("epoch", 0)
            rewind_trial(self.inner, trial, epoch)
        else:
            self.inner.on_trial_add(tune_controller, trial)
        bracket = hyperband.sampled_bracket(self.inner, trial)
        self._log.append(Event("add", trial.trial_id, epoch, metrics=bracket))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Returns the real scheduler's decision on an epoch, or PAUSE in a pausing sweep.

        NOOP in place of PAUSE gives a trial without checkpoints no further epoch.
        """
        epoch, result = result[TIME_ATTR], self._with_score(result)
        decision = self._decisions.get(trial.trial_id, {}).get(epoch)
        if is_final(trial):
            decision = TrialScheduler.CONTINUE
        if decision is None:
            decision = self._decide_and_log(tune_controller, trial, result)
        elif decision == TrialScheduler.CONTINUE:
            decision = self.by_hand.overrule(trial, epoch, decision)
        if self._switch.reason is None or decision != TrialScheduler.CONTINUE:
            return decision
        if self._saves:
            return TrialScheduler.PAUSE
        self._left_idle.add(trial.trial_id)
        return TrialScheduler.NOOP

    def _decide_and_log(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Returns the decision on a new epoch, by the real scheduler or by hand."""
        trial_id, epoch = trial.trial_id, result[TIME_ATTR]
        with self._deferring_stops(tune_controller) as controller:
            own = self._decide(controller, trial, result)
            decision = self.by_hand.overrule(trial, epoch, own)
            metrics = self._select_metrics(result)
            if isinstance(self.inner, Population):
                metrics |= self.inner.take_exploit()
            event = Event("result", trial_id, epoch, metrics, decision)
            if decision != own:
                event = replace(
                    event, asked=True, own=own if own != TrialScheduler.CONTINUE else None
                )
            self._log.append(event)
            self._remember_decision(event)
            if own == TrialScheduler.PAUSE:
                self._log_halvings(controller)
        return decision

    def _decide(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Asks the real scheduler; PBT does not exploit if the trial is about to stop or pause.

        An exploit would throw away an epoch that is about to be saved.
        """
        epoch = result[TIME_ATTR]
        by_hand = self.by_hand.overrule(trial, epoch, TrialScheduler.CONTINUE)
        goes_on = self._switch.reason is None and by_hand == TrialScheduler.CONTINUE
        if goes_on or not isinstance(self.inner, Population):
            return self.inner.on_trial_result(tune_controller, trial, result)
        metrics = self._select_metrics(result)
        event = Event("result", trial.trial_id, result[TIME_ATTR], metrics)
        replay_population_event(self.inner, self._active_ids, trial, event)
        return TrialScheduler.CONTINUE

    def on_trial_complete(
        self, tune_controller: Any, trial: Trial, result: dict[str, Any]
    ) -> None:
        """Logs the end of a trial that trained all its epochs or was stopped by a decision."""
        if is_final(trial):
            return
        epoch, metrics = result.get(TIME_ATTR, 0), self._select_metrics(result)
        self._forget(trial)
        self._log.append(Event("complete", trial.trial_id, epoch, metrics))
        with self._scheduler_call() as inner:
            if not is_comparable(result, inner.metric):
                inner.on_trial_error(tune_controller, trial)
            else:
                inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Logs the end of a trial that was not running; not if it is released by a pause."""
        if is_final(trial) or (self._switch.reason and trial.status == Trial.PENDING):
            return
        self._forget(trial)
        self._log.append(Event("remove", trial.trial_id))
        with self._scheduler_call() as inner:
            inner.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Logs a failed trial; one that will be retried stays in the real scheduler."""
        if is_final(trial):
            return
        if trial.should_recover():
            if hyperband.undo_pause(self.inner, trial):
                epoch, _ = self._decisions[trial.trial_id].popitem()
                self._log.append(Event("back", trial.trial_id, epoch))
            return
        self._forget(trial)
        self._log.append(Event("error", trial.trial_id, failure=failure_key_of(trial)))
        with self._scheduler_call() as inner:
            inner.on_trial_error(tune_controller, trial)

    def _forget(self, trial: Trial) -> None:
        """Drops a trial that has ended."""
        self._active_ids.discard(trial.trial_id)
        self.by_hand.forget(trial.trial_id)

    @contextmanager
    def _scheduler_call(self) -> Iterator[TrialScheduler]:
        """Wraps a call of the real scheduler, which may end other trials and so call back."""
        outermost, self._in_scheduler_call = not self._in_scheduler_call, True
        try:
            yield self.inner
        finally:
            if outermost:
                self._in_scheduler_call = False
                hyperband.clear_processing_flag(self.inner)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Returns the real scheduler's choice; None in a pausing sweep.

        The real scheduler does not have the final trials; they are chosen before it is asked.
        """
        trials = self._unfinished.update(tune_controller)
        if self._switch.reason is None:
            self.by_hand.act(tune_controller, trials)
            trials = self._unfinished.update(tune_controller)
            takes_slot = lambda trial: not self.is_waiting(trial)  # noqa: E731
            self._interrupted |= self.by_hand.show_released(tune_controller, trials, takes_slot)
        active = [t for t in trials if t.trial_id not in self._left_idle]
        self._stopper.running = sum(t.status == Trial.RUNNING or t.is_saving for t in active)
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        if self._switch.reason is None:
            first = (t for t in pending if t.trial_id in self._interrupted or is_final(t))
            for trial in hyperband.stranded_trials(self.inner):
                tune_controller.stop_trial(trial)
            if (chosen := next(first, None)) is None:
                with self._deferring_stops(tune_controller) as controller:
                    chosen = self.inner.choose_trial_to_run(controller)
                    self._log_halvings(controller)
            return chosen
        for trial in pending:
            tune_controller.stop_trial(trial)
        return None

    @contextmanager
    def _deferring_stops(self, tune_controller: Any) -> Iterator[Any]:
        """Wraps a decision of the real scheduler; yields the controller to give it."""
        with self._scheduler_call() as inner:
            controller = DeferredStops(
                inner, tune_controller, self._unfinished, self.by_hand.is_hidden
            )
            yield controller
            controller.stop_deferred()

    def _log_halvings(self, controller: DeferredStops) -> None:
        """Logs halvings: some happen without a decision, when a trial to run is chosen."""
        for trial in controller.trials_of_halved_brackets():
            self._log.append(Event("halve", trial.trial_id))

    def is_waiting(self, trial: Trial) -> bool:
        """Whether a trial is held, or paused until others reach its rung; it takes no slot."""
        takes_slot = self.by_hand.takes_slot(trial)
        return hyperband.is_waiting(self.inner, trial) if takes_slot is None else not takes_slot

    def debug_string(self) -> str:
        """Returns the real scheduler's description of itself."""
        return self.inner.debug_string()

    def replay(
        self, trials: Mapping[str, Trial], ended: set[str], events: list[Event]
    ) -> list[str]:
        """Brings the real scheduler to the state in which the previous driver left it.

        FIFO decides nothing. A sweep whose ended trials are to train further gets it in place of
        the scheduler that wrote the log.

        Args:
            trials: Every recorded trial, rebuilt, by id; their statuses are set here.
            ended: Ids of trials that stay ended. Others are TERMINATED afterwards if the real
                scheduler stopped them and the previous driver died before it recorded that.
            events: The event log, in order.

        Returns:
            A line for each decision that differs from the logged one.
        """
        differences: list[str] = []
        fifo = type(self.inner) is FIFOScheduler
        ends = find_ends(events, ended)
        # A trial that continues after its end changes HyperBand's decisions on the others.
        reopened = any(e.kind in ENDS and n not in ends for n, e in enumerate(events))
        controller: Any = ReplayedController(self.inner, trials)
        for position, event in enumerate(events):
            trial = trials.get(event.trial)
            if trial is None:
                continue
            if event.kind == "result":
                self._remember_decision(event)
                event = own_decision(event)
            elif event.kind == "back":
                self._decisions.get(event.trial, {}).pop(event.epoch, None)
            if isinstance(self.inner, Population):
                replay_population_event(self.inner, self._active_ids, trial, event)
                if position in ends:  # it is added again when it is retried
                    self._active_ids.discard(event.trial)
                continue
            decision = replay_event(
                self.inner,
                controller,
                self._active_ids,
                trial,
                event,
                has_ended=position in ends,
            )
            if not (fifo or reopened) and decision not in {None, event.decision}:
                differences.append(
                    f"trial {event.trial} epoch {event.epoch}: "
                    f"{decision} instead of {event.decision}"
                )
        if isinstance(self.inner, Population):
            rewind(self.inner)
        self._interrupted |= assign_statuses(self.inner, trials, ended)
        self._interrupted -= self.by_hand.restore_statuses(trials)
        return differences

    def catch_up(self, trial: Trial, row: dict[str, Any]) -> str:
        """Gives the real scheduler an epoch that was saved but is not in the log.

        Args:
            trial: A replayed trial.
            row: The epoch's metrics.

        Returns:
            The decision; after PAUSE the trial is PAUSED.
        """
        controller: Any = ReplayedController(self.inner, {trial.trial_id: trial})
        self.on_trial_add(controller, trial)  # unless the log has it
        if isinstance(self.inner, Population):
            event = Event("result", trial.trial_id, row[TIME_ATTR], self._with_score(row))
            replay_population_event(self.inner, self._active_ids, trial, event)
            return TrialScheduler.CONTINUE
        trial.set_status(Trial.RUNNING)
        decision = self.on_trial_result(
            controller, trial, {**row, "training_iteration": row[TIME_ATTR]}
        )
        if decision == TrialScheduler.PAUSE:
            trial.set_status(Trial.PAUSED)
        else:
            trial.set_status(Trial.PENDING)
            self._interrupted.add(trial.trial_id)
        return decision

    def _remember_decision(self, event: Event) -> None:
        """Keeps the decision on an epoch that may be repeated; PBT itself sends trials back."""
        if isinstance(self.inner, Population):
            return
        by_hand = event.decision == TrialScheduler.STOP and event.trial in self.by_hand.stopping
        own = own_decision(event).decision or ""
        decision = TrialScheduler.CONTINUE if type(self.inner) is FIFOScheduler else own
        if by_hand:
            decision = TrialScheduler.STOP
        self._decisions.setdefault(event.trial, {})[event.epoch] = decision

    def _with_score(self, result: dict[str, Any]) -> dict[str, Any]:
        """Returns a result with a number that the real scheduler can compare.

        The images of a split may not define a metric; it then counts as the worst value.
        """
        metric = self.inner.metric
        if metric is None or isinstance(result.get(metric), int | float):
            return result
        return {**result, metric: WORST if self._modes.get(metric) == "min" else -WORST}

    def _select_metrics(self, result: dict[str, Any]) -> dict[str, float]:
        return {
            name: result[name]
            for name in self._metrics
            if isinstance(result.get(name), int | float)
        }
