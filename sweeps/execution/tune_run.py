"""One process's part of a sweep: puts the pieces together for Tune, and settles what is left."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import nullcontext

from ray import tune
from ray.tune.schedulers import HyperBandScheduler, PopulationBasedTraining

from sweeps.cluster.gpu_workers import Packing
from sweeps.cluster.session import booking, machines, slots
from sweeps.execution import storage_callback as store
from sweeps.execution.hooks import HookRunner
from sweeps.execution.live_view import LiveView
from sweeps.execution.recorder import Recorder, end_curves
from sweeps.execution.restore_trials import Restoration
from sweeps.execution.result_files import GridFiles
from sweeps.execution.trial_source import TrialSource
from sweeps.execution.tune_overhead import NoProgress, cheaper_tune
from sweeps.execution.warm_start import tell_points
from sweeps.results.outcome import Outcome
from sweeps.results.progress import TrialProgress
from sweeps.results.ranking import write_files
from sweeps.results.retention import CheckpointRetention, prune_weights
from sweeps.results.trial_results import read_result, read_results
from sweeps.schedulers.build import build_scheduler
from sweeps.schedulers.pbt import DonorCheckpointCleanup
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.search.searcher import Searcher
from sweeps.spec.schedulers import mutated_keys
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import METRICS
from sweeps.storage.location import collect, collect_all, place_in
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord, now
from sweeps.terminal.console import console, print_line
from sweeps.trials.pause import PauseStopper, PauseSwitch, deadline, target
from sweeps.trials.retries import Retries
from trainable.config import parse_config
from trainable.ray_trial.classifier import ClassifierTrainable

KEPT, KEPT_FOR_EXPLOITS = 1, sys.maxsize
"""Of Tune's own checkpoint directories of a trial; PBT's are deleted by `DonorCheckpointCleanup`."""


class Run:
    """One process's part of a sweep: its pieces, put together for Tune."""

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        record: SweepRecord,
        share: dict[str, float],
        records: list[TrialRecord],
        *,
        allow_custom_model: bool,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._record = record
        self._share = share
        record.pid, record.host = os.getpid(), platform.node()
        self._switch = PauseSwitch(layout.stop_file, deadline(spec))
        self._stopper = PauseStopper(self._switch)
        scheduler = build_scheduler(
            spec.tune.scheduler,
            spec.space,
            metric=spec.tune.metric,
            mode=spec.tune.mode,
            max_t=spec.max_epochs,
        )
        self._log = log = EventLog(layout.events_file)
        mutated = mutated_keys(spec.tune.scheduler, tuple(spec.space))
        self._scheduler = RecordingScheduler(
            scheduler, log, self._switch, self._stopper, METRICS, mutated
        )
        at_once = min(self._limit(), slots(share), spec.trials)
        shared = spec.resources.process == "shared"
        self._packing = Packing(share, machines(), at_once) if shared else None
        self._booking = self._packing.booking if self._packing else booking(share, at_once)
        self._source = self._trial_source(records, allow_custom_model)
        self._view = LiveView(
            console,
            total=spec.trials,
            epochs=spec.max_epochs,
            slots=min(self._source.limit, slots(self._share)),
            metric=spec.tune.metric,
            mode=spec.tune.mode,
        )
        self._keeper = CheckpointRetention(layout.directory, spec)
        known = self._known_trials(records)
        self._hooks = self._hook_runner(known)
        self._recorder = Recorder(
            layout,
            record,
            self._source.records,
            switch=self._switch,
            total=spec.trials,
            metric=spec.tune.metric,
            target=target(spec),
            expects_gpu=share["gpu"] > 0,
            view=self._view,
            running=known,
            on_end=self._prune,
            hooks=self._hooks,
        )

    def until_done_or_paused(self) -> Outcome:
        """Runs Tune to its end and leaves the directory as it will be read."""
        spec, layout, record = self._spec, self._layout, self._record
        self._recorder.write_sweep()
        known = len(self._source.records)
        print_line(
            f"sweep {record.name}: {spec.trials} trials"
            + (f", {known} of them known" if known else "")
            + f", {min(self._source.limit, spec.trials)} at once, in {layout.directory}"
        )
        with self._switch.on_signals():  # to the end: a late one must not leave half a state
            with self._packing.running() if self._packing else nullcontext(), self._view:
                grid = self._fit()
            collect_all(layout.directory)
            store.point_into_store(grid, layout.directory)
            self._log.close()
            self._settle()
            prune_weights(layout.directory, spec)
            results = read_results(layout.directory, spec.tune.metric, spec.tune.mode)
            write_files(layout, results, spec.tune.metrics)
            self._hooks.finish(record, results)
        return Outcome(layout.directory, record, results, spec.tune.metrics, grid)

    def _known_trials(self, records: list[TrialRecord]) -> dict[str, TrialProgress]:
        tune = self._spec.tune
        found = {}
        for record in records:
            found[record.id] = trial = TrialProgress(record, _epochs(self._spec, record))
            read = read_result(self._layout.directory, record, tune.metric, tune.mode)
            for row in read.rows:
                trial.note(row, tune.metric, tune.mode)
        return found

    def _hook_runner(self, known: dict[str, TrialProgress]) -> HookRunner:
        tune = self._spec.tune
        # With checkpoints off, the layout is in a temporary place until the end.
        base = parse_config(self._spec.config).checkpoint.dir
        return HookRunner(
            self._spec.hooks,
            place_in(base, self._layout.directory.name),
            metric=tune.metric,
            mode=tune.mode,
            best_values=[trial.best for trial in known.values()],
        )

    def _prune(self) -> None:
        """Takes the weights of the ended trials that `keep.trials` does not keep.

        PBT may still load an ended trial's checkpoint; there it waits for the end of the run.
        """
        if self._checkpoints_kept() != KEPT_FOR_EXPLOITS:
            self._keeper.prune(self._source.records.values())

    def _settle(self) -> None:
        """Marks what has not ended as paused, and the sweep by what its trials are."""
        reached = self._switch.reason == "target"
        unended = [r for r in self._source.records.values() if r.state not in ENDED]
        for trial in unended:
            trial.state = "stopped" if reached else "paused"
            self._layout.write_trial(trial)
            if reached:
                end_curves(self._layout, trial)
        record = self._record
        through = reached or (self._source.complete and not unended)
        record.state = "finished" if through else "paused"
        if not through or reached:
            record.reason = self._switch.reason or "interrupted"
        record.ended, record.pid, record.host = now(), None, None
        self._recorder.write_sweep()

    def _trial_source(self, records: list[TrialRecord], allow_custom_model: bool) -> TrialSource:
        spec = self._spec
        searcher = Searcher(spec)
        tell_points(searcher, self._layout)
        epochs = {r.id: _epochs(spec, r) for r in records}
        restoration = Restoration(self._layout, records, epochs)
        by_id = {record.id: record for record in records}
        return TrialSource(
            spec,
            self._layout,
            searcher,
            by_id,
            switch=self._switch,
            settings={
                **self._share,
                "keep_epochs": None if spec.keep.epochs == "all" else spec.keep.epochs,
                "min_free_gib": spec.keep.min_free_gib,
                "allow_custom_model": allow_custom_model,
                **store.settings(self._layout.directory, donates=self._donates),
                **(self._packing.settings if self._packing else {}),
            },
            mutated=mutated_keys(spec.tune.scheduler, tuple(spec.space)),
            limit=self._limit(),
            booking=self._booking,
            waits=self._scheduler.is_waiting,
            kept=store.kept_by_tune(self._layout.directory, self._checkpoints_kept()),
            on_failure=Retries(
                self._layout, by_id, spec.failure, self._share, self._switch, self._packing
            ),
            score=self._score,
            rebuild=lambda trials: restoration.rebuild(trials, self._scheduler),
        )

    def _limit(self) -> int:
        """How many trials may be live, paused ones not counted.

        All of them where they wait for one another from the beginning; BOHB's HyperBand waits
        only for those that it has been given.
        """
        limit = self._spec.tune.max_concurrent_trials
        inner = self._scheduler.inner
        if isinstance(inner, PopulationBasedTraining) or type(inner) is HyperBandScheduler:
            return self._spec.trials
        return slots(self._share) if limit == "auto" else limit

    def _checkpoints_kept(self) -> int:
        if not parse_config(self._spec.config).checkpoint.enabled:
            return 0
        return KEPT_FOR_EXPLOITS if self._donates else KEPT

    @property
    def _donates(self) -> bool:
        """Whether trials load one another's checkpoints."""
        return isinstance(self._scheduler.inner, PopulationBasedTraining)

    def _fit(self) -> tune.ResultGrid:
        tuner = tune.Tuner(
            tune.with_resources(ClassifierTrainable, dict(self._booking.share)),
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
                callbacks=self._callbacks(),
            ),
        )
        with cheaper_tune(limit=self._source.limit, trials=self._spec.trials):
            return tuner.fit()

    def _callbacks(self) -> list[tune.Callback]:
        directory = self._layout.directory
        files = GridFiles(directory, self._source.records)
        found = [*store.callbacks(directory), self._recorder, files, NoProgress()]
        if isinstance(self._scheduler.inner, PopulationBasedTraining):
            found.append(DonorCheckpointCleanup(self._scheduler.inner, store.forget_checkpoint))
        return found

    def _score(self, trial: TrialRecord) -> list[float] | None:
        tune = self._spec.tune
        collect(self._layout.directory / trial.directory)
        best = read_result(self._layout.directory, trial, tune.metric, tune.mode).best
        return None if best is None else [float(best[metric]) for metric in tune.metrics]


def _epochs(spec: SearchSpec, record: TrialRecord) -> int:
    values = {**record.current, **record.changes}
    config = spec.trial_config(values, record.number, record.repeat)
    return int(config["training"]["epochs"])
