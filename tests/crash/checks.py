"""Checks a sweep's files after every kill, and compares a crashed sweep with its twin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tests.crash.reading import (
    ENDED,
    SweepFiles,
    TrialFiles,
    load_checkpoint,
    read_jsonl,
    trial_directories,
)

Order = Literal["all", "each trial's", "none"]
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError)


@dataclass
class Wreck:
    """The state of a sweep's files after a kill, before anything is resumed."""

    lost: dict[str, int] = field(default_factory=dict)
    """For each trial that had not ended, its completed epochs that no checkpoint contains."""
    differences: list[str] = field(default_factory=list)
    saved: dict[str, int] = field(default_factory=dict)
    """Trial directory -> epoch of its newest checkpoint."""


def check_wreck(directory: Path, before: dict[str, int]) -> Wreck:
    """Checks a sweep's directory right after a kill.

    Args:
        directory: The sweep directory, which need not exist.
        before: Trial directory -> epoch of its `latest.pt` at an earlier kill.
    """
    wreck = Wreck()
    for path in trial_directories(directory):
        state = json.loads((path / "trial.json").read_text())["state"]
        epochs = {}
        for file in _list_checkpoints(path):
            try:
                epochs[file.relative_to(path).as_posix()] = load_checkpoint(file)["epoch"]
            except FileNotFoundError:
                continue  # a worker that briefly outlives its driver has deleted it
            except UNREADABLE as error:
                wreck.differences.append(f"{file} does not load: {error}")
        latest = epochs.get("checkpoints/latest.pt")
        if latest is not None:
            wreck.saved[path.name] = latest
        if path.name in before and (latest is None or latest < before[path.name]):
            wreck.differences.append(
                f"{path.name}: latest.pt held epoch {before[path.name]}, now {latest}"
            )
        rows = read_jsonl(path / "metrics.jsonl", torn=True)
        done = max((row["epoch"] for row in rows), default=0)
        if state not in ENDED:
            wreck.lost[path.name] = max(0, done - max(epochs.values(), default=0))
        if done < (latest or 0):
            wreck.differences.append(f"{path.name}: saved epoch {latest}, metrics end at {done}")
    return wreck


def _list_checkpoints(directory: Path) -> list[Path]:
    """Lists the `.pt` files below a directory from which a worker may still delete some."""
    return [
        Path(place, name)
        for place, _, names in os.walk(directory)
        for name in names
        if name.endswith(".pt")
    ]


def compare(crashed: SweepFiles, twin: SweepFiles, order: Order) -> list[str]:
    """Lists the differences between a finished sweep and its uninterrupted twin.

    Args:
        crashed: The sweep that was killed and resumed.
        twin: The uninterrupted sweep.
        order: The events whose order must be the same.
    """
    texts = list(_list_differences(crashed, twin))
    if order != "none":
        texts += _compare_events(crashed, twin, same_order=order == "all")
    return texts


def _list_differences(crashed: SweepFiles, twin: SweepFiles) -> Iterator[str]:
    for key in ("state", "trials", "reason", "pid"):
        if crashed.sweep[key] != twin.sweep[key]:
            yield f"sweep.json: {key} {crashed.sweep[key]}, expected {twin.sweep[key]}"
    if list(crashed.trials) != list(twin.trials):
        yield f"trials {list(crashed.trials)}, expected {list(twin.trials)}"
    for number in sorted(crashed.trials.keys() & twin.trials.keys()):
        for text in _compare_trial(crashed.trials[number], twin.trials[number]):
            yield f"trial {number}: {text}"
    if crashed.table != twin.table:
        rows = [f"{a} / {b}" for a, b in zip(crashed.table, twin.table, strict=False) if a != b]
        yield f"trials.csv: {len(crashed.table)} rows, first difference {rows[:1]}"
    if crashed.best_config != twin.best_config:
        yield "best_config.yaml differs"
    for path in crashed.litter:
        yield f"left behind: {path}"


def _compare_trial(crashed: TrialFiles, twin: TrialFiles) -> Iterator[str]:
    for name in ("values", "state", "config"):
        where = first_difference(getattr(crashed, name), getattr(twin, name), name)
        if where:
            yield where
    epochs = [row["epoch"] for row in crashed.rows]
    if epochs != [row["epoch"] for row in twin.rows]:
        yield f"metrics.jsonl has epochs {epochs}, expected {len(twin.rows)}"
    else:
        for a, b in zip(crashed.rows, twin.rows, strict=True):
            if a != b:
                yield f"metrics.jsonl: {a}, expected {b}"
                break
    yield from _compare_curves(crashed, twin)
    if crashed.names != twin.names:
        yield (
            f"files: {sorted(crashed.names - twin.names)} more, "
            f"{sorted(twin.names - crashed.names)} less"
        )
    for file in sorted(crashed.checkpoints.keys() & twin.checkpoints.keys()):
        where = first_difference(crashed.checkpoints[file], twin.checkpoints[file], file)
        if where:
            yield where


def _compare_curves(crashed: TrialFiles, twin: TrialFiles) -> Iterator[str]:
    repeated = {point: n for point, n in crashed.raw_points.items() if n > 1}
    if repeated:
        yield f"points repeated in the event files: {repeated}"
    if crashed.curves != twin.curves:
        tags = [
            t for t in crashed.curves | twin.curves if crashed.curves.get(t) != twin.curves.get(t)
        ]
        yield f"curves {tags}: {crashed.curves.get(tags[0])}, expected {twin.curves.get(tags[0])}"


def first_difference(left: Any, right: Any, where: str) -> str | None:
    """Returns where two nested states differ, bit by bit; None if they are equal."""
    if type(left) is not type(right):
        return f"{where}: {type(left).__name__}, expected {type(right).__name__}"
    if isinstance(left, torch.Tensor):
        same = left.dtype == right.dtype and torch.equal(left, right)
        return None if same else f"{where}: tensors differ"
    if isinstance(left, dict):
        if list(left) != list(right):
            return f"{where}: keys {list(left)}, expected {list(right)}"
        pairs = [(left[key], right[key], f"{where}.{key}") for key in left]
    elif isinstance(left, list | tuple):
        if len(left) != len(right):
            return f"{where}: {len(left)} items, expected {len(right)}"
        pairs = [(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(left, right, strict=True))]
    else:
        return None if left == right else f"{where}: {left}, expected {right}"
    return next(filter(None, (first_difference(*pair) for pair in pairs)), None)


def _compare_events(crashed: SweepFiles, twin: SweepFiles, *, same_order: bool) -> Iterator[str]:
    def group_events(sweep: SweepFiles) -> dict[Any, list[Any]]:
        numbers = [None] if same_order else sorted({event[1] for event in sweep.events}, key=str)
        return {n: [e for e in sweep.events if n in {None, e[1]}] for n in numbers}

    ours, theirs = group_events(crashed), group_events(twin)
    if ours.keys() != theirs.keys():
        yield f"events.jsonl: of trials {list(ours)}, expected {list(theirs)}"
    for number in ours.keys() & theirs.keys():
        for index, (a, b) in enumerate(zip(ours[number], theirs[number], strict=False)):
            if a != b:
                yield f"events.jsonl: event {index} {a}, expected {b}"
                break
        else:
            if len(ours[number]) != len(theirs[number]):
                yield (
                    f"events.jsonl: {len(ours[number])} events of trial {number}, "
                    f"expected {len(theirs[number])}"
                )
