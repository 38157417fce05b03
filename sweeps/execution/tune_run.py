"""Runs a sweep under Tune in this process and leaves its directory complete."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.cluster.gpu_workers import GpuWorkerPool
from sweeps.cluster.session import choose_reservation, count_slots, machines
from sweeps.execution import storage_callback
from sweeps.execution.observers.callbacks import UserCallbacks
from sweeps.execution.observers.hooks import build_hooks
from sweeps.execution.observers.live_view import build_view
from sweeps.execution.recorder import DeviceCallback, RecordCallback, RecordWriter, record_end
from sweeps.execution.restore_trials import TrialRestorer
from sweeps.execution.result_files import ResultFilesCallback
from sweeps.execution.run_options import RunOptions
from sweeps.execution.steering.additions import AdditionControl
from sweeps.execution.steering.callback import RequestCallback
from sweeps.execution.steering.effects import SettingsControl, TrialControl
from sweeps.execution.trial_source import Admission, TrialSource, TrialTemplate, build_settings
from sweeps.execution.tune_overhead import NoProgress, choose_reporter, reduced_overhead
from sweeps.execution.warm_start import load_points, tell_points
from sweeps.results.commands import read_commands
from sweeps.results.outcome import Outcome
from sweeps.results.progress import TrialProgress, read_progress
from sweeps.results.ranking import write_files
from sweeps.results.retention import CheckpointRetention, prune_weights
from sweeps.results.status import count_events, describe_stall, note_start
from sweeps.results.trial_results import ResultReader, read_results, read_scores
from sweeps.schedulers.build import build_recording_scheduler
from sweeps.schedulers.hyperband import needs_all_trials
from sweeps.schedulers.pbt import DonorCheckpointCleanup, Population
from sweeps.search.searcher import Searcher
from sweeps.search.trial_planner import TrialPlanner
from sweeps.spec.schedulers import mutated_keys
from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.additions import restore_additions
from sweeps.steering.inbox import Inbox
from sweeps.steering.view import SweepView
from sweeps.storage.location import sync_trial, sync_trials
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord
from sweeps.terminal.console import print_line
from sweeps.trials.epoch_timeout import EpochTimeout
from sweeps.trials.failing_alike import RESTART, FailureStreak
from sweeps.trials.oom_memory import OomMemoryCallback, open_memory
from sweeps.trials.pause import PauseStopper, PauseSwitch
from sweeps.trials.ray_death import RayDeath
from sweeps.trials.retries import RetryPolicy
from sweeps.trials.splits import SweepSplits
from sweeps.trials.trial import without_retried
from trainable.errors import describe_full_disk
from trainable.ray_trial.classifier import ClassifierTrainable


class TuneRun:
    """One run of a sweep, from a start or resume to its end or the next pause.

    Args:
        spec: The resolved search file.
        layout: The sweep directory.
        record: The sweep's record; it is kept current here.
        share: CPUs and GPUs of one trial.
        records: The recorded trials in order of creation.
        options: How it is run.
        restarts_streak: Whether trials that failed alike so far are not counted any more.
    """

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        record: SweepRecord,
        share: dict[str, float],
        records: list[TrialRecord],
        options: RunOptions,
        *,
        restarts_streak: bool = False,
    ) -> None:
        self._spec = spec
        self._options = options
        self._layout = layout
        self._record = record
        self._share = share
        record.pid, record.host = os.getpid(), platform.node()
        self._reader = ResultReader(
            layout.directory, spec.tune.metric, spec.tune.mode, spec.config, is_live=True
        )
        self._switch = PauseSwitch(layout.stop_file, spec.tune.time_budget)
        self._stopper = PauseStopper(self._switch)
        self._streak = FailureStreak(spec.failure.stop_after, self._pause_for_failures)
        self._log = EventLog(layout.events_file, self._note_event)
        self._scheduler = build_recording_scheduler(
            spec, record.rungs, self._log, self._switch, self._stopper
        )
        self._limit = self._find_limit(records)
        self._slots = min(self._limit, count_slots(share))
        concurrent = min(self._slots, self._count_trials(records))
        shared = spec.resources.process == "shared"
        self._pool = GpuWorkerPool(share, machines(), concurrent) if shared else None
        self._source = self._build_source(records, concurrent)
        self._scheduler.by_hand.limit = lambda: self._source.limit
        if restarts_streak:
            self._log.append(RESTART)
            self._events.append(RESTART)
        self._streak.replay(self._events)
        self._writer = RecordWriter(layout, record, self._source.records)
        self._retention = CheckpointRetention(layout.directory, spec)
        progress = read_progress(self._reader, records, spec)
        note_start(record, count_events((t.record, t.epoch) for t in progress.values()))
        self._hooks = build_hooks(spec, layout.directory, [t.best for t in progress.values()])
        self._view = build_view(spec, self._source.total_samples, self._slots)
        self._recorder = self._build_recorder(progress)
        self._timeout = EpochTimeout(spec.failure.epoch_timeout)
        self._requests = self._build_requests()
        self._user_callbacks = UserCallbacks(
            options, self._source.records, self._reader, self._note_call
        )

    def _build_recorder(self, progress: dict[str, TrialProgress]) -> RecordCallback:
        recorder = RecordCallback(
            self._spec,
            self._writer,
            switch=self._switch,
            view=self._view,
            progress=progress,
            hooks=self._hooks,
            on_end=self._prune_checkpoints,
        )
        recorder.stopped = self._state.stopped
        return recorder

    def _note_event(self, event: Event) -> None:
        """Takes an event that has been logged."""
        self._streak.add(event)
        self._state.add(event)

    def run(self) -> Outcome:
        """Runs Tune until the sweep has finished or is paused."""
        spec, layout, record = self._spec, self._layout, self._record
        self._writer.write_sweep()
        recorded = self._source.records.values()
        ended = sum(trial.state in ENDED for trial in recorded)
        print_line(
            f"sweep {record.name}: {self._source.total_samples} trials"
            + (f", {ended} of them ended" if recorded else "")
            + f", {min(self._slots, self._source.total_samples)} concurrent, in {layout.directory}"
        )
        stall = describe_stall(record, spec.to_dict(), record.events_at_start or 0, running=True)
        if stall is not None:
            print_line(f"note: {stall}")
        with self._switch.on_signals():  # until the end: a late signal must not cut it short
            death = RayDeath(self._switch, self._record_death)
            grid = None
            with (
                self._switch.announcing(self._recorder.announce_pause),
                death.handled(),
                self._pool.running() if self._pool else nullcontext(),
                self._view,
            ):
                grid = self._fit_while_there_is_space()
            self._user_callbacks.print_failures()
            sync_trials(layout.directory)
            if grid is not None:
                storage_callback.use_remote_checkpoints(grid, layout.directory)
            self._log.close()
            record_end(self._writer, self._switch, is_complete=self._source.is_complete)
            spec = self._spec  # a request may have changed settings
            prune_weights(layout.directory, spec)
            results = read_results(layout.directory, spec.tune.metric, spec.tune.mode, spec.config)
            with self._switch.on_full_disk():
                write_files(layout, results, spec.tune.metrics)
            self._hooks.finish(record, results)
        epochs = spec.training.training.epochs
        return Outcome(layout.directory, record, results, spec.tune.metrics, epochs, grid)

    def _note_call(self, seconds: float) -> None:
        """Takes what a function of the user has requested, and its time off the trials' time."""
        self._timeout.exclude(seconds)
        self._requests.look_at_once()

    def _pause_for_failures(self) -> None:
        """Pauses the sweep because its trials fail alike, unless none is left."""
        records = self._source.records
        last = records[self._streak.trials[-1]]
        waiting = [r for r in records.values() if r.state not in ENDED and r is not last]
        if self._switch.reason is not None or (self._source.is_complete and not waiting):
            return
        for line in self._streak.describe(last):
            print_line(line)
        self._switch.request("failing")

    @property
    def _mutated(self) -> tuple[str, ...]:
        return mutated_keys(self._spec.tune.scheduler, tuple(self._spec.space))

    def _count_trials(self, records: Collection[TrialRecord]) -> int:
        return self._spec.count_trials(self._record.added, records)

    def _find_limit(self, records: Collection[TrialRecord]) -> int:
        """Returns the most live trials, not counting waiting ones.

        With HyperBand and PBT all trials are live, because they wait for one another from the
        start; BOHB's HyperBand waits only for trials that it has been given.
        """
        limit = self._spec.tune.max_concurrent_trials
        if self._exploits or needs_all_trials(self._scheduler.inner):
            return self._count_trials(records)
        return count_slots(self._share) if limit == "auto" else limit

    @property
    def _exploits(self) -> bool:
        """Whether trials load one another's checkpoints, as PBT's do."""
        return isinstance(self._scheduler.inner, PopulationBasedTraining)

    def _build_source(self, records: list[TrialRecord], concurrent: int) -> TrialSource:
        spec, layout = self._spec, self._layout
        searcher = Searcher(spec, allow_custom_model=self._options.allow_custom_model)
        tell_points(searcher, load_points(spec, layout))
        restorer = self._find_states(records)
        by_id = {record.id: record for record in records}
        self._events, self._state = restorer.events, restorer.state
        self._memory = open_memory(spec, layout, self._share, self._log.append, self._events)
        pool, memory = self._pool, self._memory
        if isinstance(self._scheduler.inner, Population):
            self._scheduler.inner.adapt = memory.adapt_exploit
        self._retries = RetryPolicy(
            layout, by_id, spec.failure, self._share, self._switch, pool, memory
        )
        planner = TrialPlanner(spec, searcher, self._score)
        restore_additions(planner, self._state, records)
        return TrialSource(
            spec,
            layout,
            by_id,
            planner=planner,
            template=TrialTemplate(
                self._trial_settings(),
                self._mutated,
                storage_callback.num_to_keep(
                    layout.directory,
                    saves=spec.training.checkpoint.enabled,
                    exploits=self._exploits,
                ),
                self._retries,
                SweepSplits(spec, layout, records),
                memory,
            ),
            admission=Admission(
                self._limit,
                pool.reservation if pool else choose_reservation(self._share, concurrent),
                self._scheduler.is_waiting,
                self._switch,
            ),
            restore=lambda trials: restorer.restore(trials, self._scheduler),
        )

    def _find_states(self, records: list[TrialRecord]) -> TrialRestorer:
        spec = self._spec
        epochs = {r.id: r.config(spec).training.epochs for r in records}
        saves, metrics = spec.training.checkpoint.enabled, spec.logged_metrics
        return TrialRestorer(self._layout, records, epochs, saves=saves, metrics=metrics)

    def _trial_settings(self) -> dict[str, Any]:
        allowed = self._options.allow_custom_model
        return {
            **build_settings(self._spec, self._share, allow_custom_model=allowed),
            **storage_callback.trial_settings(self._layout.directory, exploits=self._exploits),
            **(self._pool.settings if self._pool else {}),
        }

    def _prune_checkpoints(self) -> None:
        """Deletes checkpoints of ended trials as `keep.trials` says.

        PBT may still load an ended trial's checkpoint; there they are deleted after the run.
        """
        if not self._exploits:
            self._retention.prune(self._source.records.values())

    def _record_death(self) -> str:
        # The process ends before the tables are written, which a resume makes up for.
        record_end(self._writer, self._switch, is_complete=False)
        return read_commands(self._layout.directory).run_again("resume")

    def _fit_while_there_is_space(self) -> tune.ResultGrid | None:
        """Runs Tune; None if it has ended because the driver could not write on a full disk.

        The sweep is then paused as if the driver had been killed at that moment.
        """
        try:
            return self._fit()
        except Exception as error:
            if describe_full_disk(error) is None:
                raise
            self._switch.request("disk_full")
            return None

    def _fit(self) -> tune.ResultGrid:
        tuner = tune.Tuner(
            tune.with_resources(ClassifierTrainable, dict(self._source.reservation.share)),
            tune_config=tune.TuneConfig(
                metric=self._spec.tune.metric,
                mode=self._spec.tune.mode,
                search_alg=self._source,
                scheduler=self._scheduler,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=self._layout.directory.name,
                storage_path=str(self._layout.directory.parent),
                verbose=0,
                progress_reporter=choose_reporter(),
                stop=self._stopper,
                callbacks=self._build_callbacks(),
            ),
        )
        with reduced_overhead(limit=self._limit, trials=self._spec.trials):
            return without_retried(tuner.fit())

    def _build_callbacks(self) -> list[tune.Callback]:
        directory, inner = self._layout.directory, self._scheduler.inner
        callbacks = [
            *storage_callback.build_callbacks(directory),
            self._recorder,
            self._requests,
            OomMemoryCallback(self._memory),
            self._timeout,
            ResultFilesCallback(directory, self._source.records),
            self._user_callbacks,
            NoProgress(),
        ]
        if self._share["gpu"]:
            callbacks.append(DeviceCallback())
        if isinstance(inner, PopulationBasedTraining):
            cleanup = DonorCheckpointCleanup(inner, storage_callback.delete_remote_checkpoint)
            callbacks.append(cleanup)
        return callbacks

    def _build_requests(self) -> RequestCallback:
        trials = TrialControl(self._scheduler, self._writer)
        settings = SettingsControl(lambda: self._spec, self._writer, self._change_spec)
        additions = AdditionControl(
            self._source,
            self._writer,
            lambda record: self._find_states([record]),
            self._retention.forget,
            lambda: self._change_spec(self._spec),
        )
        effects = {**trials.effects, **settings.effects, **additions.effects}
        inbox = Inbox(self._layout.directory, self._log, self._view_sweep, effects)
        return RequestCallback(
            inbox, self._scheduler, self._writer, self._switch, lambda: self._source.is_idle
        )

    def _view_sweep(self) -> SweepView:
        """Returns the sweep as requests are judged by it."""
        return SweepView(
            self._layout.directory,
            self._spec,
            self._source.records,
            self._state,
            run_s=self._switch.run_s,
            running_epoch=self._source.running_epoch,
            suggest=self._source.suggest,
        )

    def _change_spec(self, spec: SearchSpec) -> None:
        """Takes the search file with other settings while the sweep runs."""
        self._spec = self._recorder.spec = spec
        self._source.change_spec(spec, self._find_limit(self._source.records.values()))
        self._slots = min(self._source.limit, count_slots(self._share))
        self._view.change(total=self._source.total_samples, slots=self._slots)
        self._switch.budget_s = spec.tune.time_budget
        self._retries.policy = self._memory.policy = spec.failure
        self._timeout.timeout_s = spec.failure.epoch_timeout
        self._hooks.hooks = spec.hooks
        self._retention.keep = spec.keep.trials
        self._prune_checkpoints()
        self._streak.change_limit(spec.failure.stop_after)

    def _score(self, trial: TrialRecord) -> list[float] | None:
        """Returns an ended trial's metrics for the searcher; None if it lacks one."""
        tune = self._spec.tune
        sync_trial(self._layout.directory / trial.directory)
        return read_scores(self._reader.read(trial), tune.metrics)
