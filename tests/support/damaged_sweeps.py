"""Copies of the golden sweeps, and ways to damage their files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"
TRIALS = {"finished": ("303c9876", "b3fc065b"), "paused": ("b1fd58f7", "a3b05880")}
"""Sweep -> (its best trial, which is damaged, and another one)."""
TRIAL_FILES = ("metrics.jsonl", "trial.json", "config.yaml", "trial.log")
SWEEP_FILES = ("events.jsonl", "search.yaml", "sweep.json")
STARTED_WITH = {
    "warm_start.json": [{"values": {"optimizer.learning_rate": 0.1}, "scores": [0.5]}],
    "split.json": [{"seed": 1, "fraction": 0.25, "classes": [], "cuts": []}],
}
"""Files that a sweep with a warm start, or with images in folders, keeps -> their content."""
TABLES = ("trials.csv", "best_config.yaml")
CHECKPOINTS = ("checkpoints/best.pt", "checkpoints/latest.pt")
WITHOUT_TYPES = {"trial.log", "trials.csv", "checkpoints/best.pt", "checkpoints/latest.pt"}
"""Files that have no values of a type that `set_wrong_types` could change."""


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def set_wrong_types(path: Path) -> None:
    """Replaces numbers by text, in the last line of a file of lines."""
    if path.suffix == ".jsonl":
        *lines, last = path.read_text().splitlines()
        broken = {
            key: "x" if isinstance(v, int | float) else v for key, v in json.loads(last).items()
        }
        path.write_text("\n".join([*lines, json.dumps(broken), ""]))
    elif path.name == "trial.json":
        record = json.loads(path.read_text())
        values = dict.fromkeys(record["values"], "x")
        path.write_text(json.dumps({**record, "values": values}))
    elif path.name in STARTED_WITH:
        (content,) = json.loads(path.read_text())
        path.write_text(json.dumps([dict.fromkeys(content, "x")]))
    elif path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "trials": 5}))
    else:
        path.write_text(
            path.read_text().replace(": 3\n", ": [many]\n").replace(": val_acc", ": [1]")
        )


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "wrong types": set_wrong_types,
    "NUL": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "random": lambda path: path.write_bytes(bytes(range(128, 256)) * 4),
    "directory": replace_by_directory,
}


def copy_sweeps(target: Path) -> Path:
    """Copies the two sweeps into a directory, as if they had been made there."""
    for name in TRIALS:
        shutil.copytree(GOLDEN / name, target / name)
    for path in target.rglob("*.yaml"):
        path.write_text(path.read_text().replace("/golden/sweeps", str(target)))
    return target


def add_started_with(directory: Path) -> None:
    """Makes a sweep one with a warm start, and gives it a split."""
    search = directory / "search.yaml"
    search.write_text(search.read_text().replace("warm_start: null", "warm_start: earlier"))
    for name, content in STARTED_WITH.items():
        (directory / name).write_text(json.dumps(content))


def file_of(directory: Path, name: str) -> Path:
    """Returns a file of the sweep, or of its best trial."""
    if name in {*SWEEP_FILES, *STARTED_WITH, *TABLES}:
        return directory / name
    (trial,) = directory.glob(f"*_{TRIALS[directory.name][0]}")
    return trial / name
