"""Runs a sweep under Tune in this process and leaves its directory complete."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import nullcontext
from typing import Any

from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.cluster.gpu_workers import GpuWorkerPool
from sweeps.cluster.session import choose_reservation, count_slots, machines
from sweeps.execution import storage_callback
from sweeps.execution.hooks import HookRunner
from sweeps.execution.live_view import LiveView
from sweeps.execution.recorder import (
    DeviceCallback,
    RecordCallback,
    RecordWriter,
    end_tensorboard,
)
from sweeps.execution.restore_trials import TrialRestorer
from sweeps.execution.result_files import ResultFilesCallback
from sweeps.execution.trial_source import Admission, TrialSource, TrialTemplate
from sweeps.execution.tune_overhead import NoProgress, reduced_overhead, remove_snapshots
from sweeps.execution.warm_start import load_points, tell_points
from sweeps.results.commands import read_commands
from sweeps.results.outcome import Outcome
from sweeps.results.progress import TrialProgress
from sweeps.results.ranking import write_files
from sweeps.results.retention import CheckpointRetention, prune_weights
from sweeps.results.status import count_events, describe_stall, note_start
from sweeps.results.trial_results import ResultReader, read_results, read_scores
from sweeps.schedulers.build import build_scheduler
from sweeps.schedulers.hyperband import needs_all_trials
from sweeps.schedulers.pbt import DonorCheckpointCleanup
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.search.searcher import Searcher
from sweeps.search.trial_planner import TrialPlanner
from sweeps.spec.schedulers import mutated_keys
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import join_location, sync_trial, sync_trials
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord, now
from sweeps.terminal.console import console, print_line
from sweeps.trials.epoch_timeout import EpochTimeout
from sweeps.trials.failing_alike import RESTART, FailureStreak
from sweeps.trials.pause import PauseStopper, PauseSwitch, budget_deadline
from sweeps.trials.ray_death import RayDeath
from sweeps.trials.retries import RetryPolicy
from sweeps.trials.splits import SweepSplits
from trainable.config.own_code import code_directories
from trainable.errors import describe_full_disk
from trainable.ray_trial.classifier import ClassifierTrainable

NUM_TO_KEEP = 1
"""Tune's own checkpoint directories that a trial keeps."""
NUM_TO_KEEP_FOR_EXPLOITS = sys.maxsize
"""Number for PBT, whose directories `DonorCheckpointCleanup` deletes."""


class TuneRun:
    """One run of a sweep, from a start or resume to its end or the next pause.

    Args:
        spec: The resolved search file.
        layout: The sweep directory.
        record: The sweep's record; it is kept current here.
        share: CPUs and GPUs of one trial.
        records: The recorded trials in order of creation.
        allow_custom_model: Whether `model.name` and the sampler may be the user's own code.
        restarts_streak: Whether trials that failed alike so far are not counted any more.
    """

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        record: SweepRecord,
        share: dict[str, float],
        records: list[TrialRecord],
        *,
        allow_custom_model: bool,
        restarts_streak: bool = False,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._record = record
        self._share = share
        record.pid, record.host = os.getpid(), platform.node()
        self._reader = ResultReader(
            layout.directory, spec.tune.metric, spec.tune.mode, spec.config, is_live=True
        )
        self._switch = PauseSwitch(layout.stop_file, budget_deadline(spec))
        self._stopper = PauseStopper(self._switch)
        limit = spec.failure.stop_after
        self._streak = FailureStreak(None if limit == "never" else limit, self._pause_for_failures)
        self._log = EventLog(layout.events_file, self._streak.add)
        self._scheduler = self._build_scheduler()
        self._limit = self._find_limit()
        self._slots = min(self._limit, count_slots(share))
        concurrent = min(self._slots, spec.trials)
        shared = spec.resources.process == "shared"
        self._pool = GpuWorkerPool(share, machines(), concurrent) if shared else None
        self._source = self._build_source(records, concurrent, allow_custom_model)
        if restarts_streak:
            self._log.append(RESTART)
            self._events.append(RESTART)
        self._streak.replay(self._events)
        self._writer = RecordWriter(layout, record, self._source.records)
        self._retention = CheckpointRetention(layout.directory, spec)
        progress = self._read_progress(records)
        note_start(
            record, count_events((trial.record, trial.epoch) for trial in progress.values())
        )
        self._hooks = self._build_hooks(progress)
        self._view = LiveView(
            console,
            total=spec.trials,
            epochs=spec.max_epochs,
            slots=self._slots,
            metric=spec.tune.metric,
            mode=spec.tune.mode,
        )
        self._recorder = RecordCallback(
            spec,
            self._writer,
            switch=self._switch,
            view=self._view,
            progress=progress,
            hooks=self._hooks,
            on_end=self._prune_checkpoints,
        )

    def run(self) -> Outcome:
        """Runs Tune until the sweep has finished or is paused."""
        spec, layout, record = self._spec, self._layout, self._record
        self._writer.write_sweep()
        recorded = self._source.records.values()
        ended = sum(trial.state in ENDED for trial in recorded)
        print_line(
            f"sweep {record.name}: {spec.trials} trials"
            + (f", {ended} of them ended" if recorded else "")
            + f", {min(self._slots, spec.trials)} concurrent, in {layout.directory}"
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
            sync_trials(layout.directory)
            if grid is not None:
                storage_callback.use_remote_checkpoints(grid, layout.directory)
            self._log.close()
            self._record_end()
            prune_weights(layout.directory, spec)
            results = read_results(layout.directory, spec.tune.metric, spec.tune.mode, spec.config)
            with self._switch.on_full_disk():
                write_files(layout, results, spec.tune.metrics)
            self._hooks.finish(record, results)
        epochs = spec.training.training.epochs
        return Outcome(layout.directory, record, results, spec.tune.metrics, epochs, grid)

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

    def _build_scheduler(self) -> RecordingScheduler:
        spec = self._spec
        inner = build_scheduler(
            spec.tune.scheduler,
            spec.space,
            metric=spec.tune.metric,
            mode=spec.tune.mode,
            max_t=spec.max_epochs,
            seed=spec.tune.seed,
            rule=self._record.rungs,
        )
        return RecordingScheduler(
            inner,
            self._log,
            self._switch,
            self._stopper,
            spec.logged_metrics,
            self._mutated,
            saves=spec.training.checkpoint.enabled,
        )

    @property
    def _mutated(self) -> tuple[str, ...]:
        return mutated_keys(self._spec.tune.scheduler, tuple(self._spec.space))

    def _find_limit(self) -> int:
        """Returns the most live trials, not counting waiting ones.

        With HyperBand and PBT all trials are live, because they wait for one another from the
        start; BOHB's HyperBand waits only for trials that it has been given.
        """
        limit = self._spec.tune.max_concurrent_trials
        inner = self._scheduler.inner
        if self._exploits or needs_all_trials(inner):
            return self._spec.trials
        return count_slots(self._share) if limit == "auto" else limit

    @property
    def _exploits(self) -> bool:
        """Whether trials load one another's checkpoints, as PBT's do."""
        return isinstance(self._scheduler.inner, PopulationBasedTraining)

    def _num_to_keep(self) -> int:
        if not self._spec.training.checkpoint.enabled:
            return 0
        return NUM_TO_KEEP_FOR_EXPLOITS if self._exploits else NUM_TO_KEEP

    def _build_source(
        self, records: list[TrialRecord], concurrent: int, allow_custom_model: bool
    ) -> TrialSource:
        spec, layout = self._spec, self._layout
        searcher = Searcher(spec, allow_custom_model=allow_custom_model)
        tell_points(searcher, load_points(spec, layout))
        epochs = {r.id: _read_epochs(spec, r) for r in records}
        saves, metrics = spec.training.checkpoint.enabled, spec.logged_metrics
        restorer = TrialRestorer(layout, records, epochs, saves=saves, metrics=metrics)
        by_id = {record.id: record for record in records}
        self._events = restorer.events
        pool = self._pool
        return TrialSource(
            spec,
            layout,
            by_id,
            planner=TrialPlanner(spec, searcher, self._score),
            template=TrialTemplate(
                self._trial_settings(allow_custom_model),
                self._mutated,
                storage_callback.num_to_keep(layout.directory, self._num_to_keep()),
                RetryPolicy(layout, by_id, spec.failure, self._share, self._switch, pool),
                SweepSplits(spec, layout, records),
            ),
            admission=Admission(
                self._limit,
                pool.reservation if pool else choose_reservation(self._share, concurrent),
                self._scheduler.is_waiting,
                self._switch,
            ),
            restore=lambda trials: restorer.restore(trials, self._scheduler),
        )

    def _trial_settings(self, allow_custom_model: bool) -> dict[str, Any]:
        keep = self._spec.keep
        return {
            **self._share,
            "keep_epochs": None if keep.epochs == "all" else keep.epochs,
            "min_free_gib": keep.min_free_gib,
            "allow_custom_model": allow_custom_model,
            "code_directories": code_directories() if allow_custom_model else [],
            **storage_callback.trial_settings(self._layout.directory, exploits=self._exploits),
            **(self._pool.settings if self._pool else {}),
        }

    def _read_progress(self, records: list[TrialRecord]) -> dict[str, TrialProgress]:
        metric, mode = self._spec.tune.metric, self._spec.tune.mode
        progress = {}
        for record in records:
            trial = TrialProgress(record, _read_epochs(self._spec, record))
            for row in self._reader.read(record).rows:
                trial.add_epoch(row, metric, mode)
            progress[record.id] = trial
        return progress

    def _build_hooks(self, progress: dict[str, TrialProgress]) -> HookRunner:
        tune = self._spec.tune
        base = self._spec.training.checkpoint.dir
        return HookRunner(
            self._spec.hooks,
            join_location(base, self._layout.directory.name),
            metric=tune.metric,
            mode=tune.mode,
            best_values=[trial.best for trial in progress.values()],
        )

    def _prune_checkpoints(self) -> None:
        """Deletes checkpoints of ended trials as `keep.trials` says.

        PBT may still load an ended trial's checkpoint; there they are deleted after the run.
        """
        if self._num_to_keep() != NUM_TO_KEEP_FOR_EXPLOITS:
            self._retention.prune(self._source.records.values())

    def _record_end(self, *, may_finish: bool = True) -> None:
        """Marks unended trials as paused, or stopped at the target, and the sweep accordingly.

        Args:
            may_finish: Whether a sweep whose trials have all ended is finished.
        """
        reached_target = self._switch.reason == "target"
        if self._switch.reason == "disk_full":
            remove_snapshots(self._layout.directory)  # room for the records
        unended = [r for r in self._source.records.values() if r.state not in ENDED]
        for trial in unended:
            trial.state = "stopped" if reached_target else "paused"
        for trial in self._source.records.values():
            if trial in unended or trial.id in self._writer.unwritten:
                with self._switch.on_full_disk():
                    self._layout.write_trial(trial)
        if reached_target:
            for trial in unended:
                end_tensorboard(self._layout, trial)
        record = self._record
        is_finished = reached_target or (may_finish and self._source.is_complete and not unended)
        record.state = "finished" if is_finished else "paused"
        if not is_finished or reached_target:
            record.reason = self._switch.reason or "interrupted"
        record.ended, record.pid, record.host = now(), None, None
        with self._switch.on_full_disk():
            self._writer.write_sweep()

    def _record_death(self) -> str:
        # The process ends before the tables are written, which a resume makes up for.
        self._record_end(may_finish=False)
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
                stop=self._stopper,
                callbacks=self._build_callbacks(),
            ),
        )
        with reduced_overhead(limit=self._limit, trials=self._spec.trials):
            return tuner.fit()

    def _build_callbacks(self) -> list[tune.Callback]:
        directory, inner = self._layout.directory, self._scheduler.inner
        callbacks = [
            *storage_callback.build_callbacks(directory),
            self._recorder,
            ResultFilesCallback(directory, self._source.records),
            NoProgress(),
        ]
        if self._share["gpu"]:
            callbacks.append(DeviceCallback())
        if self._spec.failure.epoch_timeout is not None:
            callbacks.append(EpochTimeout(self._spec.failure.epoch_timeout))
        if isinstance(inner, PopulationBasedTraining):
            cleanup = DonorCheckpointCleanup(inner, storage_callback.delete_remote_checkpoint)
            callbacks.append(cleanup)
        return callbacks

    def _score(self, trial: TrialRecord) -> list[float] | None:
        """Returns an ended trial's metrics for the searcher; None if it lacks one."""
        tune = self._spec.tune
        sync_trial(self._layout.directory / trial.directory)
        return read_scores(self._reader.read(trial), tune.metrics)


def _read_epochs(spec: SearchSpec, record: TrialRecord) -> int:
    return record.config(spec).training.epochs
