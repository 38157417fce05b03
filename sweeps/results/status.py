"""Computes a sweep's status as plain values from its files. Needs neither Ray nor a terminal."""

from __future__ import annotations

import time
from typing import Any

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.progress import TrialProgress, compute_progress
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.layout import SWEEP_FILE


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
        "elapsed_s": _elapsed_s(sweep),
        "left_s": _estimate_left_s(sweep),
        "epochs": sum(len(result.rows) for result in sweep.results),
        "saved_epochs": sweep.saved_epochs(),
        "failed": [
            {"trial": record.id, "cause": record.failures[-1].cause if record.failures else None}
            for record in failed
        ],
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


def _elapsed_s(sweep: LoadedSweep) -> float:
    """Returns the seconds that the sweep has run in total.

    A running sweep's record is only updated at events, so the time since then is added.
    """
    elapsed = sweep.record.elapsed_s
    if sweep.state == "running":
        elapsed += max(0.0, time.time() - (sweep.directory / SWEEP_FILE).stat().st_mtime)
    return round(elapsed, 1)


def _estimate_left_s(sweep: LoadedSweep) -> tuple[float, float] | None:
    """Returns (least, most) seconds that a running sweep has left, once an epoch was timed."""
    if sweep.state != "running":
        return None
    tune = sweep.search["tune"]
    trials = []
    for result in sweep.results:
        trial = TrialProgress(result.record, sweep.epochs(result.record))
        for row in result.rows:
            trial.add_epoch(row, sweep.metric, sweep.mode)
        trials.append(trial)
    limit = tune.get("max_concurrent_trials", "auto")
    return compute_progress(
        trials,
        total=sweep.total,
        epochs=int(sweep.search["config"]["training"]["epochs"]),
        slots=sweep.states["running"] if limit == "auto" else limit,
        mode=sweep.mode,
    ).left_s


def front_values(sweep: LoadedSweep) -> list[dict[str, Any]]:
    """Returns the trials of the Pareto front with the metrics that they are compared by."""
    return [
        {"trial": result.record.id, **{name: (result.best or {})[name] for name in sweep.metrics}}
        for result in sweep.front
    ]
