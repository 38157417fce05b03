"""Launches a sweep, new or resumed: its directory, its Ray session, and what is said first."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sweeps.cluster.session import Joining, several_nodes, start_ray, trial_share
from sweeps.cluster.storage_check import check_shared
from sweeps.execution.environment import being_described
from sweeps.execution.tune_run import Run
from sweeps.execution.warm_start import record_points
from sweeps.results.outcome import Outcome
from sweeps.results.retention import delete
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import desk_of, local, place_in
from sweeps.storage.lock import sole_owner
from sweeps.storage.uploader import kept
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.sweep_dir.records import SweepRecord, TrialRecord, now
from sweeps.terminal.console import print_line
from trainable.artifacts.names import automatic_name
from trainable.atomic_files import write_text
from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import dump_yaml

PACKAGES = ("tune-sweeps", "ray", "torch", "torchvision", "numpy", "optuna")


def start_sweep(
    spec: SearchSpec, *, allow_custom_model: bool = False, address: str | None = None
) -> Outcome:
    """Runs a new sweep until it has finished or is paused.

    Args:
        spec: A checked search file.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        address: Of the cluster to join, or `auto`; None means `RAY_ADDRESS`, else this machine.

    Raises:
        SweepError: The sweep's directory is taken or not shared by the cluster's nodes, or the
            cluster cannot be joined or cannot hold one trial.
    """
    base = parse_config(spec.config)
    name = spec.sweep_name or automatic_name(base, datetime.now())
    directory = local(place_in(base.checkpoint.dir, name))
    refuse_taken(directory)
    if spec.tune.warm_start is not None:
        SweepLayout(local(spec.tune.warm_start)).read_sweep()
    environment = being_described()
    spec, share = _prepare(spec, directory, allow_custom_model, address)
    record = SweepRecord(directory.name, "running", now())
    record.versions, record.environment = _versions(), environment()
    with _workplace(directory, spec, record, keep_trials=base.checkpoint.enabled) as layout:
        if spec.tune.warm_start is not None:
            print_line(
                f"warm start: {record_points(spec, layout)} trials of {spec.tune.warm_start}"
            )
        run = Run(spec, layout, record, share, [], allow_custom_model=allow_custom_model)
        outcome = run.until_done_or_paused()
    return replace(outcome, directory=directory)  # its files are there by now


def resume_sweep(
    spec: SearchSpec,
    directory: Path,
    records: list[TrialRecord],
    *,
    recorded: SearchSpec | None = None,
    allow_custom_model: bool = False,
    address: str | None = None,
) -> Outcome:
    """Takes a sweep up again from its directory until it has finished or is paused once more.

    Args:
        spec: Its search file, with what the user has changed.
        directory: The sweep's.
        records: Its trials; those in an ended state are left alone.
        recorded: What its `search.yaml` is to say; None means the same as `spec`.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        address: As for `start_sweep`.

    Raises:
        SweepError: The directory is not shared by the cluster's nodes, or the cluster cannot be
            joined or cannot hold one trial.
        CheckpointError: An interrupted trial has checkpoints, and none of them is good.
    """
    layout = SweepLayout(directory)
    layout.remove_partial_writes()
    record = layout.read_sweep()
    environment = being_described()
    spec, share = _prepare(spec, layout.directory, allow_custom_model, address)
    record.state, record.reason, record.ended = "running", None, None
    record.versions, record.environment = _versions(), environment()
    write_text(
        layout.search_file, dump_yaml({**(recorded or spec).to_dict(), "name": record.name})
    )
    with kept(layout.directory):
        run = Run(spec, layout, record, share, records, allow_custom_model=allow_custom_model)
        return run.until_done_or_paused()


def refuse_taken(directory: Path) -> None:
    """Raises SweepError if a directory holds anything, and says how its sweep goes on."""
    if not directory.exists() or not any(p.name != LOCK_FILE for p in directory.iterdir()):
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


def _prepare(
    spec: SearchSpec, directory: Path, allow_custom_model: bool, address: str | None
) -> tuple[SearchSpec, dict[str, float]]:
    """Starts Ray and says what concerns the sweep as a whole.

    Returns:
        The search file with nothing left to settle, and what one trial takes.
    """
    base = parse_config(spec.config)
    user_code = Path.cwd() if allow_custom_model else None
    start_ray(Joining(address, user_code, (directory.parent, Path(base.dataset.root))))
    check_shared(directory)
    settled = None
    if spec.resources.gpu == "auto":
        from sweeps.planning.gpu_sharing import (
            settle_gpu,  # torch, which a driver has no need of otherwise
        )

        spec, settled = settle_gpu(spec, allow_custom_model=allow_custom_model)
    share, notice = trial_share(spec.resources)
    for text in [*filter(None, [settled, notice]), *_notices(base)]:
        print_line(f"note: {text}")
    return spec, share


def _notices(base: TrainConfig) -> Iterator[str]:
    if not base.checkpoint.enabled:
        yield (
            "checkpoint.enabled is false: no trial keeps a directory, so there will be no "
            "best.pt and nothing to continue from; the sweep keeps its tables only"
        )
    if base.dataset.val_split is None:
        yield "no dataset.val_split: val_acc, and with it the best trial, is of the test set"


@contextmanager
def _workplace(
    directory: Path, spec: SearchSpec, record: SweepRecord, *, keep_trials: bool
) -> Iterator[SweepLayout]:
    """Where the sweep's files go: its directory, or a temporary one that leaves only tables."""
    if desk_of(directory) is not None:
        with sole_owner(directory), _on_a_desk(directory, spec, record, keep_trials) as work:
            yield work
        return
    if keep_trials:
        _create(directory, spec, record)
        with sole_owner(directory):
            yield SweepLayout(directory)
        return
    # The trials of other nodes write there, too.
    place = directory.parent if several_nodes() else None
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{record.name}.") as temporary:
        work = SweepLayout(Path(temporary) / directory.name)
        _create(work.directory, spec, record)
        yield work
        directory.mkdir(parents=True, exist_ok=True)
        for path in work.summary_files():
            shutil.copyfile(path, directory / path.name)


@contextmanager
def _on_a_desk(
    directory: Path, spec: SearchSpec, record: SweepRecord, keep_trials: bool
) -> Iterator[SweepLayout]:
    """The same in object storage, where trials write whether they are kept or not."""
    refuse_taken(directory)  # once more: now nobody else writes there
    layout = SweepLayout(directory)
    write_text(layout.search_file, dump_yaml({**spec.to_dict(), "name": record.name}))
    layout.write_sweep(record)
    with kept(directory):
        yield layout
    if not keep_trials:
        tables = layout.summary_files()
        for path in [path for path in directory.iterdir() if path not in tables]:
            if path.name != LOCK_FILE:
                delete(path)


def _create(directory: Path, spec: SearchSpec, record: SweepRecord) -> None:
    """Makes a sweep's directory with its first two files, all at once or not at all."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{record.name}.") as temporary:
        first = SweepLayout(Path(temporary) / directory.name)
        first.directory.mkdir()
        write_text(first.search_file, dump_yaml({**spec.to_dict(), "name": record.name}))
        first.write_sweep(record)
        try:
            first.directory.rename(directory)
        except OSError as error:
            raise SweepError(f"{directory}: cannot be made: {error.strerror}") from error
    # What is left of such directories: of a killed start, or of one that has just come too late.
    for path in directory.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(record.name)}\.[a-z0-9_]{{8}}", path.name):
            shutil.rmtree(path, ignore_errors=True)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
