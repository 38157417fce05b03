"""Computes a sweep's status as plain values from its files. Needs neither Ray nor a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.results.progress import TrialProgress, compute_progress
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import EVENTS_FILE, SWEEP_FILE
from sweeps.sweep_dir.records import SweepRecord, TrialRecord
from trainable.config import CheckpointConfig
from trainable.errors import TuneSweepsError

STALLED_RUNS = 2
"""Runs in a row without a saved epoch after which the user is told."""


def list_values(directory: Path) -> list[dict[str, Any]]:
    """Returns the sweeps in a directory as plain values, newest first: `sweep list --json`.

    A broken sweep is listed with its error.

    Raises:
        SweepError: There is no such directory.
    """
    if not directory.is_dir():
        raise SweepError(f"{directory}: there is no such directory")
    names = {path.parent.name for path in directory.glob(f"*/{SWEEP_FILE}")}
    # A sweep that has lost its record.
    names |= {path.parent.name for path in directory.glob(f"*/{EVENTS_FILE}")}
    sweeps = [_list_sweep(directory / name) for name in sorted(names)]
    return sorted(sweeps, key=lambda values: str(values["started"]), reverse=True)


def _list_sweep(directory: Path) -> dict[str, Any]:
    try:
        sweep = load(directory)
    except TuneSweepsError as error:
        text = str(error)
        place = {"name": directory.name, "directory": str(directory)}
        return {**place, "state": "broken", "started": None, "error": text}
    return {
        "name": sweep.record.name,
        "directory": str(directory),
        "state": sweep.state,
        "started": sweep.record.started,
        "trials": dict(sweep.states),
        "ended": sweep.ended,
        "total": sweep.total,
        "metric": sweep.metric,
        "best": sweep.best_values(),
        "damage": sweep.damage,
    }


def status_values(sweep: LoadedSweep) -> dict[str, Any]:
    """Returns a sweep's status as plain values: the output of `sweep status --json`."""
    failed = [r.record for r in sweep.results if r.record.state == "failed"]
    return {
        "name": sweep.record.name,
        "directory": str(sweep.directory),
        "state": sweep.state,
        "reason": sweep.record.reason,
        "trials": dict(sweep.states),
        "ended": sweep.ended,
        "total": sweep.total,
        "metric": sweep.metric,
        "best": sweep.best_values(),
        "pareto": front_values(sweep),
        "elapsed_s": elapsed_s(sweep),
        "left_s": _estimate_left_s(sweep),
        "epochs": sum(len(result.rows) for result in sweep.results),
        "saved_epochs": sweep.saved_epochs(),
        "failed": [
            {"trial": record.id, "cause": record.failures[-1].cause if record.failures else None}
            for record in failed
        ],
        "stalled": describe_stall(
            sweep.record,
            sweep.search,
            count_events((result.record, len(result.rows)) for result in sweep.results),
            running=sweep.state == "running",
        ),
        "stopped": [
            {"trial": r.id, "by": r.stopped_by, "reason": r.stop_reason}
            for r in sorted((result.record for result in sweep.results), key=lambda r: r.number)
            if r.stopped_by is not None
        ],
        "held": [result.record.id for result in sweep.results if result.record.held],
        "damage": sweep.damage,
        "unended": [_live_trial_values(sweep, result) for result in _live_trials(sweep)],
    }


def _live_trial_values(sweep: LoadedSweep, result: TrialResult) -> dict[str, Any]:
    last = result.last or {}
    return {
        "trial": result.record.id,
        "state": result.record.state,
        "epoch": last.get("epoch", 0),
        "epochs": sweep.epochs(result.record),
        "value": last.get(sweep.metric),
        "best": None if result.best is None else result.best[sweep.metric],
        "epoch_s": last.get("epoch_s"),
        "images_per_s": last.get("images_per_s"),
        "peak_memory_gib": last.get("peak_memory_gib"),
    }


def _live_trials(sweep: LoadedSweep) -> list[TrialResult]:
    """Returns the trials that have started and not ended, in order of creation."""
    live = [r for r in sweep.results if r.record.state in {"running", "paused"}]
    return sorted(live, key=lambda result: result.record.number)


def elapsed_s(sweep: LoadedSweep) -> float:
    """Returns the seconds that the sweep has run in total.

    A running sweep's record is only updated at events, so the time since then is added.
    """
    elapsed = sweep.record.elapsed_s
    if sweep.state == "running":
        with suppress(OSError):  # the directory has vanished
            elapsed += max(0.0, time.time() - (sweep.directory / SWEEP_FILE).stat().st_mtime)
    return round(elapsed, 1)


def _estimate_left_s(sweep: LoadedSweep) -> tuple[float, float] | None:
    """Returns (least, most) seconds that a running sweep has left, once an epoch was timed."""
    if sweep.state != "running":
        return None
    tune = sweep.search["tune"]
    limit = tune.get("max_concurrent_trials", "auto")
    return compute_progress(
        [_timed_progress(sweep, result) for result in sweep.results],
        total=sweep.total,
        epochs=int(sweep.search["config"]["training"]["epochs"]),
        slots=sweep.states["running"] if limit == "auto" else limit,
        mode=sweep.mode,
    ).left_s


def _timed_progress(sweep: LoadedSweep, result: TrialResult) -> TrialProgress:
    """Returns how far a trial is and how long its epochs took, without its best one."""
    times = [row["epoch_s"] for row in result.rows if row.get("epoch_s") is not None]
    return TrialProgress(
        result.record,
        sweep.epochs(result.record),
        result.last or {},
        timed_epochs=len(times),
        timed_s=sum(times),
    )


def front_values(sweep: LoadedSweep) -> list[dict[str, Any]]:
    """Returns the trials of the Pareto front with the metrics that they are compared by."""
    return [
        {
            "trial": result.record.id,
            **{name: (result.own_best or {})[name] for name in sweep.metrics},
        }
        for result in sweep.front
    ]


def count_events(trials: Iterable[tuple[TrialRecord, int]]) -> int:
    """Counts the completed epochs and the failures of trials.

    Args:
        trials: Pairs of a trial's record and its number of completed epochs.
    """
    return sum(epochs + len(record.failures) for record, epochs in trials)


def note_start(sweep: SweepRecord, events: int) -> None:
    """Records what a run begins with, and whether the one before it has saved anything.

    Args:
        sweep: The sweep's record.
        events: `count_events` of the trials as they are restored.
    """
    stalled = sweep.events_at_start is not None and events <= sweep.events_at_start
    sweep.runs_without_epoch = sweep.runs_without_epoch + 1 if stalled else 0
    sweep.events_at_start = events


def describe_stall(
    sweep: SweepRecord, search: Mapping[str, Any], events: int, *, running: bool
) -> str | None:
    """Returns a line about a sweep whose runs all end before an epoch does; None if one did.

    Args:
        sweep: The sweep's record.
        search: The resolved search file as plain values.
        events: `count_events` of the trials.
        running: Whether the last run has not ended yet.
    """
    runs = sweep.runs_without_epoch + (0 if running else 1)
    has_progress = sweep.events_at_start is None or events > sweep.events_at_start
    if has_progress or runs < STALLED_RUNS or sweep.state == "finished":
        return None
    checkpoint = CheckpointConfig.model_validate(search["config"].get("checkpoint") or {})
    if not checkpoint.enabled:
        need = "a whole trial, because checkpoint.enabled is false"
    elif checkpoint.save_best or checkpoint.save_frequency == 1:
        need = "an epoch"
    else:
        need = f"{checkpoint.save_frequency} epochs (checkpoint.save_frequency)"
    return (
        f"no trial has saved an epoch in the last {runs} runs of this sweep; a run must be long "
        f"enough for {need}. Give it more time (the time limit of the job, --time-budget) or make "
        "epochs shorter (fewer trials at a time: --max-concurrent-trials; more for each of them: "
        "--cpu, --gpu)"
    )
