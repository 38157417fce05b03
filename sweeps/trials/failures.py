"""Why a trial failed, and what is done about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import Cause, Failure, TrialRecord, now

NOT_COUNTED: set[Cause] = {"oom", "lost_worker", "disk_full"}
"""Causes that `max_retries` is not about."""

LOST_WORKER_LIMIT = 3
"""Losses in a row without a completed epoch in between after which the trial is to blame."""

_OOM = re.compile(
    r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory|Cannot allocate memory"
    r"|not enough memory|std::bad_alloc|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)

_DISK_FULL = re.compile(r"\bDiskFullError\b|No space left on device")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Ray's, in the first line of a traceback."""

_NAMED: dict[str, Cause] = {
    "CheckpointError": "checkpoint",
    "DataError": "data",
    "LostWorkerError": "lost_worker",
}
"""Our own errors; a worker's exception comes as text, with its class's name in it."""


@dataclass(frozen=True)
class Verdict:
    """What follows from a failure."""

    retry: bool
    alone: bool = False
    """The retry gets a whole card, or without GPUs a whole machine."""
    halve: bool = False
    """The retry runs its batches in twice as many parts."""


def cause_of(error: Exception) -> Cause:
    """Sorts an exception that Tune got from a trial."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or _OOM.search(text):
        return "oom"
    if _DISK_FULL.search(text):
        return "disk_full"
    if isinstance(error, RayActorError):
        return "lost_worker"
    if isinstance(error, RayTaskError):
        for name, cause in _NAMED.items():
            if re.search(rf"\b{name}\b", text):
                return cause
    return "error"


def describe(error: Exception, cause: Cause, epoch: int, checkpoint: str | None) -> Failure:
    """The failure as `trial.json` records it."""
    text = _COLOUR.sub("", str(error)).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return Failure(
        cause=cause,
        message=lines[-1].strip() if lines else type(error).__name__,
        traceback=text,
        epoch=epoch,
        checkpoint=checkpoint,
        time=now(),
    )


def describe_nan(row: dict[str, Any]) -> Failure:
    """The failure of a trial whose loss is no longer a number."""
    losses = {name: row.get(name) for name in ("train_loss", "val_loss")}
    text = f"the loss is not finite after epoch {row['epoch']}: {losses}"
    return Failure("nan", text, traceback="", epoch=row["epoch"], checkpoint=None, time=now())


def judge(record: TrialRecord, policy: FailurePolicy) -> Verdict:
    """Decides on the last of a trial's failures.

    Out of memory: once more alone, then with the batch in halves, then given up. A lost worker
    costs nothing, unless the trial loses one after the other. NaN is the trial's own result.
    Anything else is tried `max_retries` times from the last checkpoint.
    """
    failures = record.failures[record.forgiven :]
    cause = failures[-1].cause
    same = [failure for failure in failures if failure.cause == cause]
    if cause == "nan":
        return Verdict(retry=False)
    if cause == "disk_full":
        return Verdict(retry=True)  # in a later run: the sweep is paused
    if cause == "oom" and policy.oom == "exclusive_then_halve_batch":
        return Verdict(retry=len(same) <= 2, alone=True, halve=len(same) == 2)
    if cause == "lost_worker":
        return Verdict(retry=losses(record) <= LOST_WORKER_LIMIT)
    counted = [f for f in failures if f.cause not in NOT_COUNTED]
    return Verdict(retry=cause != "oom" and len(counted) <= policy.max_retries)


def losses(record: TrialRecord) -> int:
    """How often a trial has lost its worker without a completed epoch in between."""
    failures = record.failures[record.forgiven :]
    return sum(f.cause == "lost_worker" and f.epoch == failures[-1].epoch for f in failures)


def halved(config: dict[str, Any]) -> dict[str, Any] | None:
    """The config with its batches run in twice as many parts; None if they cannot be halved."""
    training = config["training"]
    parts = training.get("accumulation_steps", 1) * 2
    if training["batch_size"] % parts:
        return None
    return {**config, "training": {**training, "accumulation_steps": parts}}
