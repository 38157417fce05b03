"""Reads a sweep's directory into plain values that are equal for two runs of the same sweep.

It shares no code with the project, so that it detects what the project would overlook.
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
"""Files that Tune writes elsewhere and copies sometimes, so that a kill may lose them."""

Row = dict[str, Any]


@dataclass
class TrialFiles:
    """The files of one trial."""

    values: dict[str, Any]
    state: str
    rows: list[Row]
    curves: dict[str, list[tuple[int, float]]]
    """Tag -> points, as TensorBoard merges the event files."""
    raw_points: Counter[tuple[str, int]]
    """The number of points of each tag and step in the raw event files."""
    checkpoints: dict[str, Any]
    """File name -> content, without paths."""
    names: set[str]
    """Names of the files, without random parts."""
    config: dict[str, Any]


@dataclass
class SweepFiles:
    """The files of a finished sweep."""

    sweep: dict[str, Any]
    trials: dict[int, TrialFiles]
    events: list[tuple[Any, ...]]
    table: list[dict[str, str]]
    best_config: dict[str, Any] | None
    litter: list[str] = field(default_factory=list)
    """Files and directories that do not belong to the sweep."""


def read_jsonl(path: Path, *, torn: bool = False) -> list[Row]:
    """Reads a file of JSON lines; `torn` leaves out a last line without a line break."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if not torn or line.endswith("\n")]


def trial_directories(directory: Path) -> list[Path]:
    """Lists the directories of a sweep's trials."""
    return sorted(path.parent for path in directory.glob("*/trial.json"))


def load_checkpoint(path: Path) -> Any:
    """Loads a `.pt` file as users of torch do."""
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
        trials[record["number"]] = _read_trial(path, record)
    events = [_read_event(row, numbers) for row in read_jsonl(directory / "events.jsonl")]
    best = directory / "best_config.yaml"
    return SweepFiles(
        sweep=json.loads((directory / "sweep.json").read_text()),
        trials=dict(sorted(trials.items())),
        events=events,
        table=_read_table(directory / "trials.csv", numbers),
        best_config=_read_config(best) if best.exists() else None,
        litter=_find_litter(directory),
    )


def _read_trial(path: Path, record: dict[str, Any]) -> TrialFiles:
    curves, raw = _read_curves(path / "tensorboard")
    return TrialFiles(
        values=record["values"],
        state=record["state"],
        rows=[remove_times(row) for row in read_jsonl(path / "metrics.jsonl")],
        curves=curves,
        raw_points=raw,
        checkpoints={
            p.name: _read_checkpoint(p) for p in sorted((path / "checkpoints").glob("*.pt"))
        },
        names={_normalize_name(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
        - TUNES_OWN,
        config=_read_config(path / "config.yaml"),
    )


def remove_times(row: Row) -> Row:
    """Returns a row of metrics without times."""
    return {key: value for key, value in row.items() if key not in TIMES}


def _normalize_name(path: Path) -> str:
    text = re.sub(r"(tfevents)\..*", r"\1", path.as_posix())
    return re.sub(r"checkpoint_\d{6}", "checkpoint_N", text)


def _read_checkpoint(path: Path) -> Any:
    state = load_checkpoint(path)
    state["config"] = _remove_paths(state["config"])
    return state


def _read_config(path: Path) -> dict[str, Any]:
    return _remove_paths(yaml.safe_load(path.read_text()))


def _remove_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a training config without paths."""
    return {
        name: {k: v for k, v in section.items() if (name, k) not in PATHS}
        if isinstance(section, dict)
        else section
        for name, section in config.items()
    }


def _read_curves(
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


def _read_event(row: Row, numbers: dict[str, int]) -> tuple[Any, ...]:
    metrics = {k: v for k, v in (row.get("metrics") or {}).items() if k != "time_total_s"}
    return (
        row["kind"],
        numbers.get(row["trial"], row["trial"]),
        row.get("epoch", 0),
        row.get("decision"),
        tuple(sorted(metrics.items())),
    )


def _read_table(path: Path, numbers: dict[str, int]) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row.pop("directory")
        row["checkpoint"] = row["checkpoint"].removeprefix(name)
        row["trial"] = str(numbers[row["trial"]])
    return rows


def _find_litter(directory: Path) -> list[str]:
    parent = directory.parent
    paths = [path for path in parent.rglob("*") if path.name.endswith(".tmp")]
    paths += [path for path in parent.iterdir() if path != directory]
    paths += [
        path
        for path in directory.iterdir()
        if path.is_dir() and not (path / "trial.json").exists()
    ]
    paths += [path for path in directory.glob("stop*")]
    return sorted(str(path.relative_to(parent)) for path in paths)
