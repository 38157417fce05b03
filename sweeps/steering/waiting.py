"""Waits for a sweep that another process, or another thread, runs."""

from __future__ import annotations

import time
from pathlib import Path

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import ENDED
from sweeps.terminal.formatting import format_duration

POLL_S = 1.0


def wait_until_ended(directory: Path, trial: str | None, timeout_s: float | None) -> LoadedSweep:
    """Returns the sweep when a trial has ended or the sweep does not run any more.

    Args:
        directory: The sweep directory.
        trial: The beginning of the trial's id; the trial need not exist yet. None means to wait
            for the sweep.
        timeout_s: The longest time to wait in seconds; None means for ever.

    Raises:
        SweepError: It takes longer, or several trials match.
    """
    started = time.monotonic()
    while True:
        sweep = load(directory)
        if sweep.state != "running" or (trial is not None and _has_ended(sweep, trial)):
            return sweep
        left_s = POLL_S
        if timeout_s is not None:
            left_s = started + timeout_s - time.monotonic()
            if left_s <= 0:
                what = "the sweep still runs" if trial is None else f"trial {trial} has not ended"
                raise SweepError(f"{directory}: {what} after {format_duration(timeout_s)}")
        time.sleep(min(POLL_S, left_s))


def _has_ended(sweep: LoadedSweep, trial: str) -> bool:
    exists = any(result.record.id.startswith(trial) for result in sweep.results)
    return exists and sweep.find(trial).record.state in ENDED
