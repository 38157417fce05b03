"""Launches a sweep, new or resumed: its directory, its Ray session and the first messages."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from sweeps.cluster.lifetime import sole_sweep
from sweeps.cluster.session import (
    RayConnection,
    joins_cluster,
    run_on_trial_machine,
    start_ray,
    trial_share,
)
from sweeps.cluster.storage_check import check_shared
from sweeps.execution.environment import start_describing
from sweeps.execution.observers.hooks import build_hooks
from sweeps.execution.resume import drop_origin, with_recorded_classes
from sweeps.execution.run_options import DEFAULT_OPTIONS, RunOptions
from sweeps.execution.warm_start import Point, load_points, read_points, write_points
from sweeps.preflight.checks import background_checks, check_on_worker, check_settings
from sweeps.results.commands import describe_held, own_code, read_commands
from sweeps.results.outcome import Outcome
from sweeps.results.ranking import write_files
from sweeps.results.repairs import find_repairs
from sweeps.results.retention import prune_weights
from sweeps.results.stored_spec import refuse_other_directory
from sweeps.results.trial_results import read_results
from sweeps.search.sampler_check import check_sampler
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.search import check_measurable
from sweeps.steering.offline import write_search
from sweeps.steering.request import read_requests
from sweeps.steering.state import SteeringState
from sweeps.storage.location import join_location, mirror_of, resolve
from sweeps.storage.lock import is_running, sweep_lock
from sweeps.storage.uploader import background_upload
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord, now
from sweeps.terminal.console import log_times, print_line
from sweeps.terminal.versions import list_versions
from sweeps.trackers.switch import report_to_trackers
from sweeps.trials.splits import read_splits
from trainable.artifacts.names import automatic_name
from trainable.config import TrainConfig
from trainable.config.own_code import (
    add_code_directories,
    add_directories_of,
    code_directories,
)
from trainable.config.sections.dataset import FOLD
from trainable.config.yaml_reader import dotted
from trainable.data.listing import data_files, may_have_val
from trainable.errors import ConfigError
from trainable.preflight.background import Options


@sole_sweep()
@log_times()
def start_sweep(spec: SearchSpec, options: RunOptions = DEFAULT_OPTIONS) -> Outcome:
    """Runs a new sweep until it has finished or is paused.

    Args:
        spec: A checked search file.
        options: How it is run.

    Raises:
        SweepError: The sweep directory is taken or not shared by the cluster's nodes, or the
            cluster cannot be joined or is too small for one trial.
    """
    base = spec.training
    name = spec.sweep_name or automatic_name(base, datetime.now())
    directory = resolve(join_location(base.checkpoint.dir, name))
    refuse_taken(directory)
    if options.allow_custom_model:
        add_code_directories([Path.cwd(), spec.origin.directory])
        add_directories_of(own_code(spec.to_dict()))
    points = read_points(spec)
    environment = start_describing()
    spec, share = _prepare(spec, directory, options, spec)
    record = SweepRecord(directory.name, "running", now(), rungs="shares", cache=True)
    record.versions, record.environment = list_versions(), environment()
    record.address = options.address
    if options.allow_custom_model:
        record.code_directories = code_directories()
        record.working_directory = str(Path.cwd())
    from sweeps.execution.tune_run import TuneRun  # imports Tune, as `start_ray` has done

    with _open_directory(directory, spec, record, points) as layout:
        if points is not None:
            print_line(f"warm start: {len(points)} trials of {spec.tune.warm_start}")
        run = TuneRun(spec, layout, record, share, [], options)
        with report_to_trackers(spec, layout.directory):
            return run.run()


@sole_sweep()
@log_times()
def resume_sweep(
    spec: SearchSpec,
    directory: Path,
    records: list[TrialRecord],
    options: RunOptions = DEFAULT_OPTIONS,
    *,
    recorded: SearchSpec | None = None,
    is_retry: bool = False,
) -> Outcome:
    """Resumes a sweep from its directory and runs it until it has finished or is paused again.

    Args:
        spec: The sweep's search file with the user's changes.
        directory: The sweep directory.
        records: The sweep's trials, some of which may have been opened again. Ended ones are left
            alone.
        options: How it is run.
        recorded: The new content of `search.yaml`; None means the same as `spec`.
        is_retry: Whether failed trials are retried; failures so far then do not count towards
            `failure.stop_after`; nor do they after a pause for them or after the end of the sweep.

    Raises:
        SweepError: The directory is not shared by the cluster's nodes, or the cluster cannot be
            joined or is too small for one trial.
        CheckpointError: An interrupted trial has checkpoints, but all of them are broken.
    """
    layout = SweepLayout(directory)
    record = layout.read_sweep()
    if options.allow_custom_model:
        edited = [spec.origin.directory] if spec.origin.directory != layout.directory else []
        add_code_directories([Path.cwd(), *edited, *record.code_directories])
        record.code_directories = code_directories()
    repairs = find_repairs(layout, spec, records)
    is_complete = len(records) >= spec.count_trials(record.added, records)
    if is_complete and all(trial.state in ENDED for trial in records):
        with background_upload(layout.directory):
            repairs.write(layout)
            write_search(layout, recorded or spec, record)
            with report_to_trackers(spec, layout.directory):  # what they have missed
                return _end_without_ray(spec, layout, record, records)
    if is_complete:
        _refuse_if_all_held(layout, records)
    load_points(spec, layout)  # is refused before Ray starts, as are the next two
    read_splits(layout)
    refuse_other_directory(spec, layout.directory, record.working_directory)
    environment = start_describing()
    try:
        checked = drop_origin(spec, layout.directory, records)
        checked = with_recorded_classes(checked, layout.directory, records)
        spec, share = _prepare(spec, layout.directory, options, checked)
    except ConfigError as error:
        raise _add_remedy(error, directory) from None
    restarts_streak = is_retry or record.reason == "failing" or record.state == "finished"
    record.state, record.reason, record.ended = "running", None, None
    record.versions, record.environment = list_versions(), environment()
    record.address = options.address
    from sweeps.execution.tune_run import TuneRun

    with background_upload(layout.directory):
        repairs.write(layout)
        run = TuneRun(
            spec, layout, record, share, records, options, restarts_streak=restarts_streak
        )
        # Only now, when nothing can refuse the sweep any longer.
        layout.remove_partial_writes()
        for trial in records:
            if trial.state not in ENDED:
                layout.write_trial(trial)  # it may have been opened again
        write_search(layout, recorded or spec, record)
        with report_to_trackers(spec, layout.directory):
            return run.run()


def _refuse_if_all_held(layout: SweepLayout, records: list[TrialRecord]) -> None:
    """Raises SweepError if a request holds every trial that has not ended."""
    state = SteeringState.of(EventLog(layout.events_file).read())
    unended = [trial.id for trial in records if trial.state not in ENDED]
    if all(trial in state.held for trial in unended) and not read_requests(layout.directory):
        held = describe_held(layout.directory, unended)
        raise SweepError("\n".join([f"{layout.directory}: no trial is left to run", *held]))


def _end_without_ray(
    spec: SearchSpec, layout: SweepLayout, record: SweepRecord, records: list[TrialRecord]
) -> Outcome:
    """Ends a sweep whose trials have all ended; it may have been killed before it noticed."""
    was_finished = record.state == "finished"
    if not was_finished:
        record.state, record.reason, record.ended = "finished", None, now()
        record.pid, record.host = None, None
        record.count_trials(records)
        layout.write_sweep(record)
    layout.remove_partial_writes()
    prune_weights(layout.directory, spec)
    tune = spec.tune
    results = read_results(layout.directory, tune.metric, tune.mode, spec.config)
    write_files(layout, results, tune.metrics)
    if not was_finished:
        build_hooks(spec, layout.directory).finish(record, results)
    epochs = spec.training.training.epochs
    return Outcome(layout.directory, record, results, tune.metrics, epochs, None)


def _add_remedy(error: ConfigError, directory: Path) -> ConfigError:
    """Adds to a problem of the data how to resume the sweep with data that have moved."""
    kinds = {"config.dataset.root": "DIRECTORY", "config.dataset.file": "FILE"}
    commands = {
        key: read_commands(directory).run_again("resume", "--set", f"{key}={kind}")
        for key, kind in kinds.items()
    }
    problems = [
        replace(
            problem, rule=f"{problem.rule}\n    if the data have moved: {commands[problem.key]}"
        )
        if problem.key in commands
        else problem
        for problem in error.problems
    ]
    return ConfigError(error.source, problems)


def refuse_taken(directory: Path) -> None:
    """Raises SweepError if a directory is not empty; the message names the command to resume."""
    if directory.exists() and not directory.is_dir():
        return  # a problem of `name`, which the checks of the search file report
    # In object storage a lock that is just being acquired has more objects than one.
    if not directory.exists() or all(p.name.startswith(LOCK_FILE) for p in directory.iterdir()):
        return
    try:
        record = SweepLayout(directory).read_sweep()
    except SweepError:
        if mirror_of(directory) is not None and is_running(directory):
            raise SweepError(
                f"{directory} is just being started by another process; choose another name"
            ) from None
        raise SweepError(
            f"{directory} is taken by something other than a sweep; choose another name"
        ) from None
    raise SweepError(
        f"{directory} holds a sweep that is {record.state}\n"
        f"  to resume it:        {read_commands(directory).run_again('resume')}\n"
        "  to start a new one:  give it another name in the search file, or add --set name=..."
    )


def _prepare(
    spec: SearchSpec,
    directory: Path,
    options: RunOptions,
    checked: SearchSpec,
) -> tuple[SearchSpec, dict[str, float]]:
    """Starts Ray and prints the notes that concern the sweep as a whole.

    Args:
        spec: The search file.
        directory: The sweep directory.
        options: How the sweep is run.
        checked: What the checks before the first trial are to look at.

    Returns:
        The search file with `gpu: auto` resolved, and the CPUs and GPUs of one trial.
    """
    allowed = options.allow_custom_model
    check_sampler(spec, allow_custom=allowed)
    base = spec.training
    user_code = tuple(map(Path, code_directories())) if allowed else ()
    excludes = (directory.parent, Path(base.dataset.root), *data_files(base.dataset))
    connection = RayConnection(options.address, user_code, excludes)
    thorough = Options(allowed)
    if joins_cluster(options.address):
        check_settings(checked, thorough)
        start_ray(connection)
        check_on_worker(checked, thorough, partial(run_on_trial_machine, resources=spec.resources))
    else:
        with background_checks(checked, thorough) as finish:
            start_ray(connection)
            finish()
    check_shared(directory)
    gpu_notice = None
    if spec.resources.gpu == "auto":
        from sweeps.planning.gpu_sharing import resolve_gpu_on_cluster  # imports torch

        spec, gpu_notice = resolve_gpu_on_cluster(spec, allow_custom_model=allowed)
        for path, rule in check_measurable(spec):
            raise SweepError(f"{dotted(path)}: {rule}")
    share, notice = trial_share(spec.resources)
    for text in [*filter(None, [gpu_notice, notice]), *_notices(spec, base)]:
        print_line(f"note: {text}")
    return spec, share


def _notices(spec: SearchSpec, base: TrainConfig) -> Iterator[str]:
    if not base.checkpoint.enabled:
        yield (
            "checkpoint.enabled is false: trials save their metrics and logs, but no best.pt; "
            "one that is interrupted starts again from epoch 1"
        )
    if FOLD in spec.space:
        yield (
            f"{FOLD} is swept, so that trials are compared on different images; without it, and "
            "with tune.repeats, a configuration is ranked by its mean over the folds"
        )
    if not may_have_val(base.dataset):
        yield (
            "no dataset.val_split or folds: val_acc is the test accuracy, and so decides the best "
            "trial"
        )


@contextmanager
def _open_directory(
    directory: Path, spec: SearchSpec, record: SweepRecord, points: list[Point] | None
) -> Iterator[SweepLayout]:
    """Creates and locks the directory of a new sweep; in object storage, its local mirror."""
    if mirror_of(directory) is None:
        _create_directory(directory, spec, record, points)
        with sweep_lock(directory):
            yield SweepLayout(directory)
        return
    with sweep_lock(directory):
        refuse_taken(directory)  # again, now that no other driver writes there
        layout = SweepLayout(directory)
        _write_first_files(layout, spec, record, points)
        with background_upload(directory):
            yield layout


def _write_first_files(
    layout: SweepLayout, spec: SearchSpec, record: SweepRecord, points: list[Point] | None
) -> None:
    write_search(layout, spec, record)
    if points is not None:
        write_points(points, layout)
    layout.write_sweep(record)


def _create_directory(
    directory: Path, spec: SearchSpec, record: SweepRecord, points: list[Point] | None
) -> None:
    """Creates a sweep directory with its first files atomically."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{record.name}.") as temporary:
        first = SweepLayout(Path(temporary) / directory.name)
        first.directory.mkdir()
        _write_first_files(first, spec, record, points)
        try:
            first.directory.rename(directory)
        except OSError as error:
            raise SweepError(f"{directory}: cannot be created: {error.strerror}") from error
    # Left over from starts that were killed or that found the directory taken.
    for path in directory.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(record.name)}\.[a-z0-9_]{{8}}", path.name):
            shutil.rmtree(path, ignore_errors=True)
