"""Runs a sweep, new or resumed: from a checked search file, through Tune, to its results."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.cluster import slots, start_ray, trial_share
from sweeps.console import say
from sweeps.events import EventLog
from sweeps.layout import (
    ENDED,
    Reason,
    SweepError,
    SweepLayout,
    SweepRecord,
    TrialRecord,
    now,
)
from sweeps.pause import PauseStopper, PauseSwitch
from sweeps.recorder import Recorder
from sweeps.recording import RecordingScheduler
from sweeps.report import write_files
from sweeps.restoring import Restoration
from sweeps.results import TrialResult, read_result, read_results
from sweeps.retries import Retries
from sweeps.schedulers import build_scheduler
from sweeps.search import Searcher
from sweeps.spec import METRICS, SearchSpec
from sweeps.trial_source import TrialSource, tell_recorded
from trainable.classifier import ClassifierTrainable
from trainable.config import TrainConfig, parse_config
from trainable.experiment import automatic_name
from trainable.files import write_text
from trainable.yaml_reader import dump_yaml

PACKAGES = ("tune-sweeps", "ray", "torch", "torchvision", "numpy", "optuna")
KEPT, KEPT_FOR_EXPLOITS = 1, 4
"""Of Tune's own checkpoint directories of a trial; PBT may load one that is not the newest."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    directory: Path
    record: SweepRecord
    results: list[TrialResult]
    """Best first."""
    metric: str
    grid: tune.ResultGrid

    @property
    def paused(self) -> Reason | None:
        """Why the sweep is paused; None if it has finished."""
        return self.record.reason if self.record.state == "paused" else None


def start_sweep(spec: SearchSpec, *, allow_custom_model: bool = False) -> Outcome:
    """Runs a new sweep until it has finished or is paused.

    Args:
        spec: A checked search file.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        SweepError: The sweep's directory is taken, or the cluster cannot hold one trial.
    """
    base = parse_config(spec.config)
    name = spec.name or base.checkpoint.experiment_name or automatic_name(base, datetime.now())
    directory = Path(base.checkpoint.dir) / name
    refuse_taken(directory)
    share = _prepare(spec, base)
    with _workplace(directory, keep_trials=base.checkpoint.enabled) as layout:
        record = SweepRecord(name, "running", now(), versions=_versions())
        write_text(layout.search_file, dump_yaml({**spec.to_dict(), "name": name}))
        run = _Run(spec, layout, record, share, [], allow_custom_model=allow_custom_model)
        return run.until_done_or_paused()


def resume_sweep(
    spec: SearchSpec,
    directory: Path,
    records: list[TrialRecord],
    *,
    allow_custom_model: bool = False,
) -> Outcome:
    """Takes a sweep up again from its directory until it has finished or is paused once more.

    Args:
        spec: Its search file, with what the user has changed.
        directory: The sweep's.
        records: Its trials; those in an ended state are left alone.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        SweepError: The cluster cannot hold one trial.
        CheckpointError: An interrupted trial has checkpoints, and none of them is good.
    """
    layout = SweepLayout(directory)
    record = layout.read_sweep()
    share = _prepare(spec, parse_config(spec.config))
    record.state, record.reason, record.ended = "running", None, None
    record.versions = _versions()
    write_text(layout.search_file, dump_yaml({**spec.to_dict(), "name": record.name}))
    run = _Run(spec, layout, record, share, records, allow_custom_model=allow_custom_model)
    return run.until_done_or_paused()


def refuse_taken(directory: Path) -> None:
    """Raises SweepError if a directory holds anything, and says how its sweep goes on."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    try:
        record = SweepLayout(directory).read_sweep()
    except SweepError:
        raise SweepError(
            f"{directory} is taken by something else than a sweep; choose another name"
        ) from None
    raise SweepError(
        f"{directory} holds a sweep that is {record.state}\n"
        f"  to go on with it:    sweep resume {directory}\n"
        "  to start a new one:  give it another name in the search file"
    )


def _prepare(spec: SearchSpec, base: TrainConfig) -> dict[str, float]:
    """Starts Ray and says what concerns the sweep as a whole; returns what one trial takes."""
    start_ray()
    share, notice = trial_share(spec.resources)
    for text in [*filter(None, [notice]), *_notices(base)]:
        say(f"note: {text}")
    return share


def _notices(base: TrainConfig) -> Iterator[str]:
    if not base.checkpoint.enabled:
        yield (
            "checkpoint.enabled is false: no trial keeps a directory, so there will be no "
            "best.pt and nothing to continue from; the sweep keeps its tables only"
        )
    if base.dataset.val_split is None:
        yield "no dataset.val_split: val_acc, and with it the best trial, is of the test set"


@contextmanager
def _workplace(directory: Path, *, keep_trials: bool) -> Iterator[SweepLayout]:
    """Where the sweep's files go: its directory, or a temporary one that leaves only tables."""
    if keep_trials:
        directory.mkdir(parents=True, exist_ok=True)
        yield SweepLayout(directory)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = SweepLayout(Path(temporary) / directory.name)
        work.directory.mkdir()
        yield work
        directory.mkdir(parents=True, exist_ok=True)
        for path in work.summary_files():
            shutil.copyfile(path, directory / path.name)


class _Run:
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
        self._switch = PauseSwitch(layout.stop_file, _deadline(spec))
        self._stopper = PauseStopper(self._switch)
        scheduler = build_scheduler(
            spec.tune.scheduler,
            metric=spec.tune.metric,
            mode=spec.tune.mode,
            max_t=spec.max_epochs,
        )
        log = EventLog(layout.events_file)
        self._scheduler = RecordingScheduler(scheduler, log, self._switch, self._stopper, METRICS)
        self._source = self._trial_source(records, allow_custom_model)
        self._recorder = Recorder(
            layout,
            record,
            self._source.records,
            switch=self._switch,
            total=spec.tune.num_samples,
            metric=spec.tune.metric,
            expects_gpu=share["gpu"] > 0,
        )

    def until_done_or_paused(self) -> Outcome:
        """Runs Tune to its end and leaves the directory as it will be read."""
        spec, layout, record = self._spec, self._layout, self._record
        self._recorder.write_sweep()
        known = len(self._source.records)
        say(
            f"sweep {record.name}: {spec.tune.num_samples} trials"
            + (f", {known} of them known" if known else "")
            + f", {self._source.limit} at once, in {layout.directory}"
        )
        with self._switch.on_signals():
            grid = self._tuner().fit()
        self._settle()
        results = read_results(layout.directory, spec.tune.metric, spec.tune.mode)
        write_files(layout, results, spec.tune.metric)
        return Outcome(layout.directory, record, results, spec.tune.metric, grid)

    def _settle(self) -> None:
        """Marks what has not ended as paused, and the sweep by what its trials are."""
        unended = [r for r in self._source.records.values() if r.state not in ENDED]
        for trial in unended:
            trial.state = "paused"
            self._layout.write_trial(trial)
        all_made = self._source.complete
        record = self._record
        record.state = "finished" if all_made and not unended else "paused"
        if record.state == "paused":
            record.reason = self._switch.reason or "interrupted"
        record.ended, record.pid, record.host = now(), None, None
        self._recorder.write_sweep()

    def _trial_source(self, records: list[TrialRecord], allow_custom_model: bool) -> TrialSource:
        spec = self._spec
        searcher = Searcher(spec)
        tell_recorded(searcher, records, self._score)
        epochs = {r.id: _epochs(spec, r) for r in records}
        restoration = Restoration(self._layout, records, epochs)
        limit = spec.tune.max_concurrent_trials
        by_id = {record.id: record for record in records}
        return TrialSource(
            spec,
            self._layout,
            searcher,
            by_id,
            switch=self._switch,
            settings={**self._share, "allow_custom_model": allow_custom_model},
            limit=slots(self._share) if limit == "auto" else limit,
            kept=self._checkpoints_kept(),
            on_failure=Retries(self._layout, by_id, spec.failure, self._share),
            score=self._score,
            rebuild=lambda trials: restoration.rebuild(trials, self._scheduler),
        )

    def _checkpoints_kept(self) -> int:
        if not parse_config(self._spec.config).checkpoint.enabled:
            return 0
        exploits = isinstance(self._scheduler.inner, PopulationBasedTraining)
        return KEPT_FOR_EXPLOITS if exploits else KEPT

    def _tuner(self) -> tune.Tuner:
        # Read when the controller is built; unset, a source of one's own gets one trial at a time.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self._source.limit)
        return tune.Tuner(
            tune.with_resources(ClassifierTrainable, self._share),
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
                callbacks=[self._recorder, JsonLoggerCallback()],
            ),
        )

    def _score(self, trial: TrialRecord) -> float | None:
        metric = self._spec.tune.metric
        best = read_result(self._layout.directory, trial, metric, self._spec.tune.mode).best
        return None if best is None else float(best[metric])


def _epochs(spec: SearchSpec, record: TrialRecord) -> int:
    config = spec.trial_config({**record.values, **record.changes}, record.number)
    return int(config["training"]["epochs"])


def _deadline(spec: SearchSpec) -> float | None:
    """The monotonic time at which this run's budget is spent."""
    budget = spec.tune.time_budget
    return None if budget is None else time.monotonic() + budget


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
