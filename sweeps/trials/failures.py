"""Finds the cause of a trial's failure and decides whether the trial is retried."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.records import Cause, Failure, TrialRecord, now
from trainable.config import halve_parts
from trainable.config.dotted import flatten
from trainable.data.loader.shared_memory import is_shared_memory_error
from trainable.errors import is_out_of_memory, summarize_traceback

NOT_LIMITED: set[Cause] = {"oom", "lost_worker", "disk_full"}
"""Causes that `failure.max_retries` does not limit."""

NOT_RETRIED: set[Cause] = {"nan", "config", "data", "checkpoint"}
"""Causes that are still there in a retry."""

MISTAKES = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "ImportError",
        "IndentationError",
        "IndexError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "SyntaxError",
        "TypeError",
        "UnboundLocalError",
        "ValueError",
        "ZeroDivisionError",
    }
)
"""Exceptions that a mistake in code raises: a retry, which repeats the same steps with the same
random numbers, meets it again."""

_CLASS = re.compile(r"(?:RayTaskError\()?(\w+)")

BATCH_SIZE, ACCUMULATION_STEPS = "training.batch_size", "training.accumulation_steps"

LOST_WORKER_LIMIT = 3
"""Workers that a trial may lose without completing an epoch before it is given up."""

WORKER_DIED = "the process or the machine of the trial's worker died"
"""Message of a failure whose text is Ray's report about an actor."""

_DISK_FULL = re.compile(r"\bDiskFullError\b|No space left on device|Disk quota exceeded")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Terminal colours, which Ray puts into the first line of a traceback."""

_CAUSE_BY_CLASS: dict[str, Cause] = {
    "CheckpointError": "checkpoint",
    "DataError": "data",
    "LostWorkerError": "lost_worker",
    "ConfigError": "config",
    "ExperimentError": "config",
    "ModelError": "config",
    "TuneSweepsError": "config",
}
"""Class names of `trainable.errors` -> cause; the driver gets a worker's exception as text."""


@dataclass(frozen=True)
class RetryDecision:
    """Whether and how a failed trial is retried."""

    retry: bool
    alone: bool = False
    """The retry gets a whole GPU, or a whole machine if there are no GPUs."""
    halve: bool = False
    """The retry splits its batches into twice as many parts."""


def find_cause(error: Exception) -> Cause:
    """Returns the cause of an exception that Tune received from a trial."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or is_out_of_memory(text):
        return "oom"
    if _DISK_FULL.search(text) and not is_shared_memory_error(text):
        return "disk_full"
    if isinstance(error, RayActorError):
        return "lost_worker"
    if isinstance(error, RayTaskError):
        for name, cause in _CAUSE_BY_CLASS.items():
            if re.search(rf"\b{name}\b", text):
                return cause
    return "error"


def describe(error: Exception, cause: Cause, epoch: int, checkpoint: str | None) -> Failure:
    """Returns the failure as `trial.json` records it.

    Args:
        error: The exception that Tune received from the trial.
        cause: The result of `find_cause`.
        epoch: The last completed epoch.
        checkpoint: The checkpoint that a retry continues from.
    """
    text = _COLOUR.sub("", str(error)).strip()
    message = summarize_traceback(text) or type(error).__name__
    is_dead = isinstance(error, RayActorError)
    return Failure(
        cause=cause,
        message=WORKER_DIED if is_dead and cause == "lost_worker" else message,
        traceback=text,
        epoch=epoch,
        checkpoint=checkpoint,
        time=now(),
    )


def describe_nan(row: dict[str, Any]) -> Failure:
    """Returns the failure of a trial whose loss is NaN or infinite in this row."""
    losses = {name: row.get(name) for name in ("train_loss", "val_loss")}
    text = f"the loss is not finite after epoch {row['epoch']}: {losses}"
    return Failure("nan", text, traceback="", epoch=row["epoch"], checkpoint=None, time=now())


def decide_retry(record: TrialRecord, policy: FailurePolicy) -> RetryDecision:
    """Decides whether a trial is retried after the last of its failures.

    - Out of memory: retried alone, then also with halved batches, then given up.
    - Lost worker: retried, unless the trial loses workers without completing an epoch.
    - NaN, configuration, data, checkpoint, mistakes in code: given up, because a retry would end
      in the same way.
    - Full disk: retried when the sweep is resumed.
    - Anything else: retried `max_retries` times from the last checkpoint.
    """
    failures = record.failures[record.ignored_failures :]
    cause = failures[-1].cause
    same_cause = [failure for failure in failures if failure.cause == cause]
    if cause in NOT_RETRIED or is_mistake(failures[-1]):
        return RetryDecision(retry=False)
    if cause == "disk_full":
        return RetryDecision(retry=True)  # when the sweep, which pauses now, is resumed
    if cause == "oom" and policy.oom == "exclusive_then_halve_batch":
        return RetryDecision(retry=len(same_cause) <= 2, alone=True, halve=len(same_cause) == 2)
    if cause == "lost_worker":
        return RetryDecision(retry=count_worker_losses(record) <= LOST_WORKER_LIMIT)
    limited = [f for f in failures if f.cause not in NOT_LIMITED]
    return RetryDecision(retry=cause != "oom" and len(limited) <= policy.max_retries)


def is_mistake(failure: Failure) -> bool:
    """Returns whether a mistake in code has raised a failure."""
    name = _CLASS.match(failure.message)
    return failure.cause == "error" and name is not None and name[1] in MISTAKES


def count_worker_losses(record: TrialRecord) -> int:
    """Counts the workers that a trial has lost at its current epoch."""
    failures = record.failures[record.ignored_failures :]
    return sum(f.cause == "lost_worker" and f.epoch == failures[-1].epoch for f in failures)


def read_batches(config: dict[str, Any]) -> tuple[int, int]:
    """Returns (images of a batch, parts that it is run in)."""
    values = flatten(config)  # a value that PBT mutates stands under its dotted key
    return values[BATCH_SIZE], values.get(ACCUMULATION_STEPS, 1)


def halve_batches(config: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the config with each batch in twice as many parts, or as many as it can have.

    Returns:
        None if there are no smaller parts.
    """
    halved = halve_parts(*read_batches(config))
    if halved is None:
        return None
    if ACCUMULATION_STEPS in config:
        return {**config, ACCUMULATION_STEPS: halved}
    return {**config, "training": {**config["training"], "accumulation_steps": halved}}


def describe_parts(batch_size: int, parts: int) -> str:
    """Returns the size of a batch and those of its parts: `33 in parts of 17 and 16`."""
    if parts == 1:
        return str(batch_size)
    sizes = dict.fromkeys([-(-batch_size // parts), batch_size // parts])
    return f"{batch_size} in parts of {' and '.join(map(str, sizes))}"
