"""Reads a sweep's directory into plain values that two runs of the same sweep have in common.

Nothing of the product reads here but the names of files: what the product would overlook, this
must see.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

TIMES = {"epoch_s", "images_per_s"}
TIME_TAGS = {"time/epoch_s", "time/images_per_s"}
PATHS = {("dataset", "root"), ("checkpoint", "dir"), ("tensorboard", "log_dir")}
ENDED = {"finished", "stopped", "failed"}
TUNES_OWN = {"error.txt", "error.pkl", "params.json", "params.pkl", "result.json"}
"""Tune writes them elsewhere and copies them now and then: a kill takes them with it."""

Row = dict[str, Any]


@dataclass
class TrialFiles:
    """What one trial left."""

    values: dict[str, Any]
    state: str
    rows: list[Row]
    curves: dict[str, list[tuple[int, float]]]
    """Tag -> points, as TensorBoard merges the event files."""
    raw_points: Counter[tuple[str, int]]
    """How often each step of each tag is in the raw event files."""
    checkpoints: dict[str, Any]
    """File name -> content, without paths."""
    names: set[str]
    """Of the files, without what is random in them."""
    config: dict[str, Any]


@dataclass
class SweepFiles:
    """What a finished sweep left."""

    sweep: dict[str, Any]
    trials: dict[int, TrialFiles]
    events: list[tuple[Any, ...]]
    table: list[dict[str, str]]
    best_config: dict[str, Any] | None
    litter: list[str] = field(default_factory=list)
    """Files and directories that nothing accounts for."""


def read_jsonl(path: Path, *, torn: bool = False) -> list[Row]:
    """Rows of a file of JSON lines; `torn` leaves out a last line that has no end."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if not torn or line.endswith("\n")]


def trial_directories(directory: Path) -> list[Path]:
    """Directories of a sweep's trials."""
    return sorted(path.parent for path in directory.glob("*/trial.json"))


def load_checkpoint(path: Path) -> Any:
    """A `.pt` file as any user of torch loads it."""
    return torch.load(path)


def read_sweep(directory: Path) -> SweepFiles:
    """Reads a sweep that has ended.

    Raises:
        ValueError: Two trials have the same number.
    """
    numbers: dict[str, int] = {}
    trials: dict[int, TrialFiles] = {}
    for path in trial_directories(directory):
        record = json.loads((path / "trial.json").read_text())
        if record["number"] in trials:
            raise ValueError(f"two trials have number {record['number']}")
        numbers[record["id"]] = record["number"]
        trials[record["number"]] = _trial(path, record)
    events = [_event(row, numbers) for row in read_jsonl(directory / "events.jsonl")]
    best = directory / "best_config.yaml"
    return SweepFiles(
        sweep=json.loads((directory / "sweep.json").read_text()),
        trials=dict(sorted(trials.items())),
        events=events,
        table=_table(directory / "trials.csv", numbers),
        best_config=_config(best) if best.exists() else None,
        litter=_litter(directory),
    )


def _trial(path: Path, record: dict[str, Any]) -> TrialFiles:
    curves, raw = _curves(path / "tensorboard")
    return TrialFiles(
        values=record["values"],
        state=record["state"],
        rows=[without_times(row) for row in read_jsonl(path / "metrics.jsonl")],
        curves=curves,
        raw_points=raw,
        checkpoints={p.name: _checkpoint(p) for p in sorted((path / "checkpoints").glob("*.pt"))},
        names={_name(p.relative_to(path)) for p in path.rglob("*") if p.is_file()} - TUNES_OWN,
        config=_config(path / "config.yaml"),
    )


def without_times(row: Row) -> Row:
    """A row of metrics without what the clock decides."""
    return {key: value for key, value in row.items() if key not in TIMES}


def _name(path: Path) -> str:
    text = re.sub(r"(tfevents)\..*", r"\1", path.as_posix())
    return re.sub(r"checkpoint_\d{6}", "checkpoint_N", text)


def _checkpoint(path: Path) -> Any:
    state = load_checkpoint(path)
    state["config"] = _without_paths(state["config"])
    return state


def _config(path: Path) -> dict[str, Any]:
    return _without_paths(yaml.safe_load(path.read_text()))


def _without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """A training config without what differs by where the sweep lies."""
    return {
        name: {k: v for k, v in section.items() if (name, k) not in PATHS}
        for name, section in config.items()
    }


def _curves(
    directory: Path,
) -> tuple[dict[str, list[tuple[int, float]]], Counter[tuple[str, int]]]:
    raw: Counter[tuple[str, int]] = Counter()
    for path in directory.glob("*tfevents*"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            raw.update((value.tag, event.step) for value in event.summary.value)
    merged = EventAccumulator(str(directory), size_guidance={"tensors": 0, "scalars": 0})
    merged.Reload()
    tags = merged.Tags()["scalars"]
    return {
        tag: [(e.step, 0.0 if tag in TIME_TAGS else e.value) for e in merged.Scalars(tag)]
        for tag in tags
    }, raw


def _event(row: Row, numbers: dict[str, int]) -> tuple[Any, ...]:
    metrics = {k: v for k, v in (row.get("metrics") or {}).items() if k != "time_total_s"}
    return (
        row["kind"],
        numbers.get(row["trial"], row["trial"]),
        row.get("epoch", 0),
        row.get("decision"),
        tuple(sorted(metrics.items())),
    )


def _table(path: Path, numbers: dict[str, int]) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row.pop("directory")
        row["checkpoint"] = row["checkpoint"].removeprefix(name)
        row["trial"] = str(numbers[row["trial"]])
    return rows


def _litter(directory: Path) -> list[str]:
    parent = directory.parent
    found = [path for path in parent.rglob("*") if path.name.endswith(".tmp")]
    found += [path for path in parent.iterdir() if path != directory]
    found += [
        path
        for path in directory.iterdir()
        if path.is_dir() and not (path / "trial.json").exists()
    ]
    found += [path for path in directory.glob("stop*")]
    return sorted(str(path.relative_to(parent)) for path in found)
