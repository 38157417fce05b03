"""What must hold after every kill, and what a crashed sweep must have in common with its twin."""

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
    """What a kill left: the sweep's files as they lie there, before anything is resumed."""

    lost: dict[str, int] = field(default_factory=dict)
    """For each trial that had not ended, its completed epochs that no checkpoint holds."""
    differences: list[str] = field(default_factory=list)
    saved: dict[str, int] = field(default_factory=dict)
    """Trial directory -> epoch of its newest checkpoint."""


def look_at_wreck(directory: Path, before: dict[str, int]) -> Wreck:
    """Looks at a sweep's directory right after a kill.

    Args:
        directory: The sweep's; it need not exist.
        before: Trial directory -> epoch of its `latest.pt` at an earlier kill.
    """
    wreck = Wreck()
    for path in trial_directories(directory):
        state = json.loads((path / "trial.json").read_text())["state"]
        epochs = {}
        for file in _checkpoints(path):
            try:
                epochs[file.relative_to(path).as_posix()] = load_checkpoint(file)["epoch"]
            except FileNotFoundError:
                continue  # a worker that outlives its driver by a moment has taken it away
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


def _checkpoints(directory: Path) -> list[Path]:
    """The `.pt` files below a directory, where a worker may still be taking some away."""
    return [
        Path(place, name)
        for place, _, names in os.walk(directory)
        for name in names
        if name.endswith(".pt")
    ]


def compare(found: SweepFiles, twin: SweepFiles, order: Order) -> list[str]:
    """Says in what a finished sweep differs from its uninterrupted twin.

    Args:
        found: The one that was killed and resumed.
        twin: The other one.
        order: Which events must come in the same order.
    """
    texts = list(_differences(found, twin))
    if order != "none":
        texts += _in_events(found, twin, same_order=order == "all")
    return texts


def _differences(found: SweepFiles, twin: SweepFiles) -> Iterator[str]:
    for key in ("state", "trials", "reason", "pid"):
        if found.sweep[key] != twin.sweep[key]:
            yield f"sweep.json: {key} {found.sweep[key]}, expected {twin.sweep[key]}"
    if list(found.trials) != list(twin.trials):
        yield f"trials {list(found.trials)}, expected {list(twin.trials)}"
    for number in sorted(found.trials.keys() & twin.trials.keys()):
        for text in _in_trial(found.trials[number], twin.trials[number]):
            yield f"trial {number}: {text}"
    if found.table != twin.table:
        rows = [f"{a} / {b}" for a, b in zip(found.table, twin.table, strict=False) if a != b]
        yield f"trials.csv: {len(found.table)} rows, first difference {rows[:1]}"
    if found.best_config != twin.best_config:
        yield "best_config.yaml differs"
    for path in found.litter:
        yield f"left behind: {path}"


def _in_trial(found: TrialFiles, twin: TrialFiles) -> Iterator[str]:
    for name in ("values", "state", "config"):
        where = first_difference(getattr(found, name), getattr(twin, name), name)
        if where:
            yield where
    epochs = [row["epoch"] for row in found.rows]
    if epochs != [row["epoch"] for row in twin.rows]:
        yield f"metrics.jsonl has epochs {epochs}, expected {len(twin.rows)}"
    else:
        for a, b in zip(found.rows, twin.rows, strict=True):
            if a != b:
                yield f"metrics.jsonl: {a}, expected {b}"
                break
    yield from _in_curves(found, twin)
    if found.names != twin.names:
        yield (
            f"files: {sorted(found.names - twin.names)} more, "
            f"{sorted(twin.names - found.names)} less"
        )
    for file in sorted(found.checkpoints.keys() & twin.checkpoints.keys()):
        where = first_difference(found.checkpoints[file], twin.checkpoints[file], file)
        if where:
            yield where


def _in_curves(found: TrialFiles, twin: TrialFiles) -> Iterator[str]:
    repeated = {point: n for point, n in found.raw_points.items() if n > 1}
    if repeated:
        yield f"points repeated in the event files: {repeated}"
    if found.curves != twin.curves:
        tags = [t for t in found.curves | twin.curves if found.curves.get(t) != twin.curves.get(t)]
        yield f"curves {tags}: {found.curves.get(tags[0])}, expected {twin.curves.get(tags[0])}"


def first_difference(left: Any, right: Any, where: str) -> str | None:
    """Where two nested states differ, bit by bit; None if they are equal."""
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


def _in_events(found: SweepFiles, twin: SweepFiles, *, same_order: bool) -> Iterator[str]:
    def grouped(sweep: SweepFiles) -> dict[Any, list[Any]]:
        numbers = [None] if same_order else sorted({event[1] for event in sweep.events}, key=str)
        return {n: [e for e in sweep.events if n in {None, e[1]}] for n in numbers}

    ours, theirs = grouped(found), grouped(twin)
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
