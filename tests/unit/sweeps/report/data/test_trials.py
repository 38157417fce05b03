"""A trial in the data of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.report.data.trials import describe_end, seconds_of, to_plain, trial_data
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import FakeSweep, trial


def find(directory: Path, number: int) -> dict[str, Any]:
    """Returns the data of a trial of a sweep."""
    sweep = load(directory)
    result = sweep.find(f"{number:04d}")
    return trial_data(sweep, result, sweep.sampled_keys)


def test_a_finished_trial_has_the_values_and_scores_of_its_files(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={0: "finished"}).write()
    data = find(directory, 0)
    record = json.loads((trial(directory, 0) / "trial.json").read_text())
    lines = (trial(directory, 0) / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    best = max(rows, key=lambda row: row["val_acc"])
    expected = {
        "id": "0000aaaa",
        "number": 0,
        "state": "finished",
        "best": best["val_acc"],
        "own": best["val_acc"],
        "started_text": "2026-01-15 14:10:00 UTC",
        "best_epoch": best["epoch"],
        "last": rows[-1]["val_acc"],
        "epochs": 9,
        "planned": 9,
        "seconds": 600.0,
        "checkpoint": "best.pt",
    }
    assert {key: data[key] for key in expected} == expected
    keys = load(directory).sampled_keys
    assert dict(zip(keys, data["values"], strict=True)) == {
        key: record["values"].get(key) for key in keys
    }
    assert ["checkpoints/best.pt", len(b"weights")] in data["files"]
    assert data.keys().isdisjoint({"why", "failures", "copied", "changes", "added", "inherited"})


def test_an_inherited_best_epoch_is_told_from_the_own_one(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    path = trial(directory, 0) / "metrics.jsonl"
    row = {"epoch": 5, "val_acc": 0.5, "best_acc": 0.75, "best_epoch": 3}
    path.write_text(json.dumps(row) + "\n")
    data = find(directory, 0)
    assert (data["best"], data["own"], data["inherited"]) == (0.75, 0.5, True)


def test_zero_is_a_value_and_not_left_out(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={0: "finished"}).write()
    path = trial(directory, 0) / "metrics.jsonl"
    path.write_text(path.read_text().replace('"val_acc": ', '"val_acc": 0.0, "was": '))
    data = find(directory, 0)
    assert (data["best"], data["last"], data["best_epoch"]) == (0.0, 0.0, 1)


def test_a_trial_without_parameters_has_an_empty_list_of_values(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, space={}).write()
    assert find(directory, 0)["values"] == []


def test_failures_changes_and_copies_are_there(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    path = trial(directory, 3) / "trial.json"
    record = json.loads(path.read_text())
    record["changes"] = {"training.batch_size": 16}
    record["failures"][0]["traceback"] = "\n".join(map(str, range(20)))
    path.write_text(json.dumps(record))
    data = find(directory, 3)
    assert data["why"] == "oom after epoch 2"
    assert data["changes"] == {"training.batch_size": 16}
    (failure,) = data["failures"]
    assert failure["message"] == "CUDA out of memory"
    assert failure["traceback"].splitlines() == ["... 8 lines above", *map(str, range(8, 20))]


def test_the_end_and_the_time_of_a_trial(tmp_path: Path) -> None:
    states: Any = {1: "running", 2: "pending", 3: "stopped"}
    sweep = load(FakeSweep(tmp_path / "sweep", states=states, state="running").write())
    running, pending, stopped = (sweep.find(f"{number:04d}") for number in (1, 2, 3))
    assert (seconds_of(running), seconds_of(pending)) == (5 * 2.0, None)
    assert describe_end(sweep, stopped) == "by the scheduler"
    assert describe_end(sweep, running) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, 0.1),
        (3, 3),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1, "a"]'),
        ("a\nb", r"a\nb"),
        (float("inf"), "inf"),
        ("auto", "auto"),
        *[(text, f'"{text}"') for text in ("3", "0.1", "true", "null", "inf", "")],
    ],
)
def test_values_are_numbers_or_text(value: Any, expected: Any) -> None:
    assert to_plain(value) == expected
    assert type(to_plain(value)) is type(expected)
