"""The scheduler as Tune sees it: the real one, with a log that a resumed sweep is replayed from.

It also turns a requested pause into Tune's own: every running trial is paused, and so saved, at
its next result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining, TrialScheduler

from sweeps.schedulers.build import TIME_ATTR
from sweeps.schedulers.pbt import IN_CONFIG, go_back
from sweeps.schedulers.replay import (
    ReplayedController,
    StopsLater,
    Unended,
    drawn,
    finite,
    left_waiting,
    settle,
    step_back,
    tell,
    tell_population,
    unmark,
    waits,
)
from sweeps.sweep_dir.event_log import ENDS, Event, EventLog
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.trial import is_final


class RecordingScheduler(TrialScheduler):
    """Delegates to a real scheduler and logs what it is told and answers.

    Args:
        inner: The real scheduler, with its metric and mode.
        log: Where events go.
        switch: Whether the sweep is to pause.
        stopper: Told how many trials are still running.
        metrics: Names of the numbers in a result that are logged.
        mutated: Keys that the real scheduler changes; their values are logged with the numbers.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        inner: TrialScheduler,
        log: EventLog,
        switch: PauseSwitch,
        stopper: PauseStopper,
        metrics: Iterable[str],
        mutated: Iterable[str] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inner = inner
        self._log = log
        self._switch = switch
        self._stopper = stopper
        self._metrics = (*metrics, "time_total_s", *(f"{IN_CONFIG}{key}" for key in mutated))
        self._told: dict[str, dict[int, str]] = {}
        """Trial -> epoch -> decision. An epoch that comes again, because the trial went back to
        its last checkpoint, is not told twice."""
        self._known: set[str] = set()
        self._inside = False
        self._unended = Unended()
        self._interrupted: set[str] = set()
        """Trials in the middle of which an earlier process ended; they go first. Some had been
        stopped and not yet saved: HyperBand has dropped them and would never run them."""

    @property
    def metric(self) -> str | None:
        """The real scheduler's metric."""
        metric: str | None = self.inner.metric
        return metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """The real scheduler has its metric and mode already."""
        del metric, mode, spec
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A new trial, one that is tried again, or one that a replay has added already.

        A resumed sweep hands Tune its ended trials too; those are over for the scheduler.
        """
        if trial.trial_id in self._known or trial.is_finished() or is_final(trial):
            return
        self._known.add(trial.trial_id)
        self.inner.on_trial_add(tune_controller, trial)
        self._log.append(Event("add", trial.trial_id, metrics=drawn(self.inner, trial)))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """An epoch's result; what the real scheduler decides, or a pause if one is asked for."""
        epoch = result[TIME_ATTR]
        decision = self._told.get(trial.trial_id, {}).get(epoch)
        if is_final(trial):
            decision = TrialScheduler.CONTINUE
        if decision is None:
            with self._deciding(tune_controller) as controller:
                decision = self._decide(controller, trial, result)
                metrics = self._numbers(result)
                self._log.append(Event("result", trial.trial_id, epoch, metrics, decision))
                self._remember(trial.trial_id, epoch, decision)
                if decision == TrialScheduler.PAUSE:
                    self._log_halvings(controller)
        if self._switch.reason is not None and decision == TrialScheduler.CONTINUE:
            return TrialScheduler.PAUSE
        return decision

    def _decide(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Asks the real scheduler; in a pausing sweep no trial is given another one's state.

        That would throw away an epoch which is to be saved.
        """
        if self._switch.reason is None or not isinstance(self.inner, PopulationBasedTraining):
            return self.inner.on_trial_result(tune_controller, trial, result)
        event = Event("result", trial.trial_id, result[TIME_ATTR], self._numbers(result))
        tell_population(self.inner, self._known, trial, event)
        return TrialScheduler.CONTINUE

    def on_trial_complete(
        self, tune_controller: Any, trial: Trial, result: dict[str, Any]
    ) -> None:
        """A trial ended by itself or by decision."""
        if is_final(trial):
            return
        epoch, metrics = result.get(TIME_ATTR, 0), self._numbers(result)
        self._known.discard(trial.trial_id)
        self._log.append(Event("complete", trial.trial_id, epoch, metrics))
        with self._telling() as inner:
            if inner.metric is not None and not finite(result.get(inner.metric)):
                inner.on_trial_error(tune_controller, trial)
            else:
                inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """A waiting trial was stopped: by decision, or because the sweep pauses."""
        if is_final(trial) or (self._switch.reason and trial.status == Trial.PENDING):
            return
        self._known.discard(trial.trial_id)
        self._log.append(Event("remove", trial.trial_id))
        with self._telling() as inner:
            inner.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A trial failed. One that will be tried again keeps its place with the scheduler."""
        if is_final(trial):
            return
        if trial.should_recover():
            if step_back(self.inner, trial):
                epoch, _ = self._told[trial.trial_id].popitem()
                self._log.append(Event("back", trial.trial_id, epoch))
            return
        self._known.discard(trial.trial_id)
        self._log.append(Event("error", trial.trial_id))
        with self._telling() as inner:
            inner.on_trial_error(tune_controller, trial)

    @contextmanager
    def _telling(self) -> Iterator[TrialScheduler]:
        """The real scheduler, which may end other trials while it is told of one."""
        outermost, self._inside = not self._inside, True
        try:
            yield self.inner
        finally:
            if outermost:
                self._inside = False
                unmark(self.inner)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The real scheduler's choice; nothing starts any more in a pausing sweep.

        Final trials, of which the real scheduler has never heard, are not its to choose.
        """
        trials = self._unended.of(tune_controller)
        self._stopper.running = sum(t.status == Trial.RUNNING or t.is_saving for t in trials)
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        if self._switch.reason is None:
            first = (t for t in pending if t.trial_id in self._interrupted or is_final(t))
            for trial in left_waiting(self.inner):
                tune_controller.stop_trial(trial)
            if (chosen := next(first, None)) is None:
                with self._deciding(tune_controller) as controller:
                    chosen = self.inner.choose_trial_to_run(controller)
                    self._log_halvings(controller)
            return chosen
        for trial in pending:
            tune_controller.stop_trial(trial)
        return None

    @contextmanager
    def _deciding(self, tune_controller: Any) -> Iterator[Any]:
        """The controller for a scheduler that may stop others than the trial it is asked about."""
        with self._telling() as inner:
            controller = StopsLater(inner, tune_controller, self._unended)
            yield controller
            controller.stop_noted()

    def _log_halvings(self, controller: StopsLater) -> None:
        """Logs a halving that no decision tells of: some happen when a trial is asked for."""
        for trial in controller.halved():
            self._log.append(Event("halve", trial.trial_id))

    def waits(self, trial: Trial) -> bool:
        """Whether a trial is paused until others have come as far, and takes nobody's place."""
        return waits(self.inner, trial)

    def debug_string(self) -> str:
        """The real scheduler's."""
        return self.inner.debug_string()

    def replay(
        self, trials: Mapping[str, Trial], ended: set[str], events: list[Event]
    ) -> list[str]:
        """Brings the real scheduler to where an earlier process left it.

        FIFO decides nothing; in place of the scheduler that the events are of, it lets the trials
        of an ended sweep go on.

        Args:
            trials: Every recorded trial, rebuilt, by id; their statuses are set here.
            ended: Ids of trials that stay ended. Others are TERMINATED in the end if the real
                scheduler stopped them and an earlier process did not live to record it.
            events: Of the earlier processes, in order.

        Returns:
            A line for each decision that came out otherwise than recorded.
        """
        differences: list[str] = []
        fifo = type(self.inner) is FIFOScheduler
        # A trial that goes on after its end changes what HyperBand decides of the others then.
        reopened = any(e.kind in ENDS and e.trial not in ended for e in events)
        controller: Any = ReplayedController(self.inner, trials)
        for event in events:
            trial = trials.get(event.trial)
            if trial is None:
                continue
            if event.kind == "result":
                decision = TrialScheduler.CONTINUE if fifo else event.decision or ""
                self._remember(event.trial, event.epoch, decision)
            elif event.kind == "back":
                self._told.get(event.trial, {}).pop(event.epoch, None)
            if isinstance(self.inner, PopulationBasedTraining):
                tell_population(self.inner, self._known, trial, event)
                continue
            stays = event.trial in ended
            found = tell(self.inner, controller, self._known, trial, event, stays=stays)
            if not (fifo or reopened) and found not in {None, event.decision}:
                differences.append(
                    f"trial {event.trial} epoch {event.epoch}: {found} instead of {event.decision}"
                )
        if isinstance(self.inner, PopulationBasedTraining):
            go_back(self.inner)
        self._interrupted |= settle(self.inner, trials, ended)
        return differences

    def catch_up(self, trial: Trial, row: dict[str, Any]) -> str:
        """Tells the real scheduler an epoch whose result an earlier process did not live to tell.

        Args:
            trial: A replayed one.
            row: The epoch's metrics.

        Returns:
            What it decides; a pause is the trial's new status.
        """
        if isinstance(self.inner, PopulationBasedTraining):
            event = Event("result", trial.trial_id, row[TIME_ATTR], row)
            tell_population(self.inner, self._known, trial, event)
            return TrialScheduler.CONTINUE
        controller: Any = ReplayedController(self.inner, {trial.trial_id: trial})
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

    def _remember(self, trial_id: str, epoch: int, decision: str) -> None:
        """Keeps a decision for an epoch that comes again; PBT sends trials back by itself."""
        if not isinstance(self.inner, PopulationBasedTraining):
            self._told.setdefault(trial_id, {})[epoch] = decision

    def _numbers(self, result: dict[str, Any]) -> dict[str, float]:
        return {
            name: result[name]
            for name in self._metrics
            if isinstance(result.get(name), int | float)
        }
