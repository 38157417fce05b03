"""Runs a sweep: from a checked search file, through Tune, to its results on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ray import tune
from ray.tune.logger import JsonLoggerCallback

from sweeps.cluster import slots, start_ray, trial_share
from sweeps.console import say
from sweeps.layout import SweepError, SweepLayout, SweepRecord, TrialRecord, now
from sweeps.recorder import Recorder
from sweeps.report import write_files
from sweeps.results import TrialResult, read_result, read_results
from sweeps.schedulers import build_scheduler
from sweeps.search import Searcher
from sweeps.spec import SearchSpec
from sweeps.trial_source import TrialSource
from trainable.classifier import ClassifierTrainable
from trainable.config import TrainConfig, parse_config
from trainable.experiment import automatic_name
from trainable.files import write_text
from trainable.yaml_reader import dump_yaml

PACKAGES = ("tune-sweeps", "ray", "torch", "torchvision", "numpy", "optuna")
TUNE_CHECKPOINTS_KEPT = 4
"""Of Tune's own directories of a trial, which hold hard links; PBT needs a few."""
CPU_NOTICE = "note: no CUDA device in the workers: trials train on the CPU"


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    directory: Path
    record: SweepRecord
    results: list[TrialResult]
    """Best first."""
    grid: tune.ResultGrid


def run_sweep(spec: SearchSpec, *, allow_custom_model: bool = False) -> Outcome:
    """Runs a new sweep to its end.

    Args:
        spec: A checked search file.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        SweepError: The sweep's directory is taken, or the cluster cannot hold one trial.
    """
    base = parse_config(spec.config)
    name = spec.name or base.checkpoint.experiment_name or automatic_name(base, datetime.now())
    directory = Path(base.checkpoint.dir) / name
    if directory.exists() and any(directory.iterdir()):
        raise SweepError(f"{directory} is taken: choose another name, or move it away")
    start_ray()
    share, notice = trial_share(spec.resources)
    for text in [*filter(None, [notice]), *_notices(base)]:
        say(f"note: {text}")
    with _workplace(directory, keep_trials=base.checkpoint.enabled) as layout:
        return _run(spec, layout, share, allow_custom_model=allow_custom_model)


def _notices(base: TrainConfig) -> Iterator[str]:
    """What is said once about the whole sweep."""
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


def _run(
    spec: SearchSpec, layout: SweepLayout, share: dict[str, float], *, allow_custom_model: bool
) -> Outcome:
    metric, mode = spec.tune.metric, spec.tune.mode
    record = SweepRecord(layout.directory.name, "running", now(), versions=_versions())
    write_text(layout.search_file, dump_yaml({**spec.to_dict(), "name": record.name}))
    layout.write_sweep(record)
    limit = spec.tune.max_concurrent_trials
    source = TrialSource(
        spec,
        layout,
        Searcher(spec),
        settings={**share, "allow_custom_model": allow_custom_model},
        limit=slots(share) if limit == "auto" else limit,
        score=lambda trial: _score(layout, trial, metric, mode),
    )
    say(
        f"sweep {record.name}: {spec.tune.num_samples} trials, {source.limit} at once, "
        f"in {layout.directory}"
    )
    grid = _tuner(spec, layout, share, source, record).fit()
    results = read_results(layout.directory, metric, mode)
    record.state, record.ended = "finished", now()
    layout.write_sweep(record)
    write_files(layout, results, metric)
    return Outcome(layout.directory, record, results, grid)


def _tuner(
    spec: SearchSpec,
    layout: SweepLayout,
    share: dict[str, float],
    source: TrialSource,
    record: SweepRecord,
) -> tune.Tuner:
    metric, mode = spec.tune.metric, spec.tune.mode
    base = parse_config(spec.config)
    recorder = Recorder(
        layout,
        record,
        source.records,
        total=spec.tune.num_samples,
        metric=metric,
        cpu_notice=CPU_NOTICE if share["gpu"] else None,
    )
    # Read when the controller is built; unset, a source of one's own gets one trial at a time.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(source.limit)
    scheduler = build_scheduler(
        spec.tune.scheduler, metric=metric, mode=mode, max_t=spec.max_epochs
    )
    kept = TUNE_CHECKPOINTS_KEPT if base.checkpoint.enabled else None
    return tune.Tuner(
        tune.with_resources(ClassifierTrainable, share),
        tune_config=tune.TuneConfig(
            metric=metric, mode=mode, search_alg=source, scheduler=scheduler, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name=layout.directory.name,
            storage_path=str(layout.directory.parent),
            verbose=0,
            callbacks=[recorder, JsonLoggerCallback()],
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=kept,
                checkpoint_frequency=0,
                checkpoint_at_end=base.checkpoint.enabled,
            ),
        ),
    )


def _score(layout: SweepLayout, trial: TrialRecord, metric: str, mode: str) -> float | None:
    best = read_result(layout.directory, trial, metric, mode).best
    return None if best is None else float(best[metric])


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
