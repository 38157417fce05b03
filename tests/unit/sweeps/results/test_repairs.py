"""The repairs of a resume before Ray starts, and its refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sweeps.results.repairs import find_repairs
from sweeps.results.stored_spec import open_sweep
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.damaged_sweeps import DAMAGES, copy_sweeps, file_of, replace_by_directory
from trainable.artifacts.metrics import read_rows


@pytest.fixture
def paused(tmp_path: Path) -> Path:
    """The paused sweep."""
    return copy_sweeps(tmp_path) / "paused"


def repair(directory: Path) -> list[str]:
    """Does what a resume does before Ray starts, and the first thing after; returns its notes."""
    spec, records = open_sweep(directory)
    layout = SweepLayout(directory)
    repairs = find_repairs(layout, spec, records)
    repairs.write(layout)
    return repairs.notes


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "wrong types", "NUL", "random"])
def test_a_resume_leaves_no_gap_in_the_metrics_of_a_paused_trial(
    damage: str, paused: Path
) -> None:
    path = file_of(paused, "metrics.jsonl")
    before = read_rows(path)
    DAMAGES[damage](path)
    (note,) = repair(paused)
    assert str(path) in note
    (row,) = read_rows(path)
    assert (row["epoch"], row["val_acc"]) == (1, before[0]["val_acc"])
    assert repair(paused) == []


@pytest.mark.parametrize("damage", ["gone", "empty", "NUL", "random"])
def test_lost_events_are_rebuilt_from_the_metrics(damage: str, paused: Path) -> None:
    log = EventLog(paused / "events.jsonl")
    whole = log.read()
    DAMAGES[damage](paused / "events.jsonl")
    (note,) = repair(paused)
    assert "events of 2 trials are lost" in note
    rebuilt = [event for event in log.read() if event.trial == "a3b05880"]
    expected = [event for event in whole if event.trial == "a3b05880"]
    assert [(e.kind, e.epoch, e.decision) for e in rebuilt] == [
        (e.kind, e.epoch, e.decision) for e in expected
    ]
    assert repair(paused) == []


def test_lost_events_of_hyperband_are_one_line_before_ray_starts(paused: Path) -> None:
    search = (paused / "search.yaml").read_text()
    section = search[search.index("  scheduler:") : search.index("  max_concurrent_trials")]
    (paused / "search.yaml").write_text(
        search.replace(section, "  scheduler:\n    name: hyperband\n").replace(
            "max_concurrent_trials: 1", "max_concurrent_trials: auto"
        )
    )
    (paused / "events.jsonl").unlink()
    before = {path for path in paused.rglob("*")}
    with pytest.raises(SweepError, match=r"tune\.warm_start") as caught:
        repair(paused)
    assert "\n" not in str(caught.value)
    assert {path for path in paused.rglob("*")} == before


def test_a_value_of_a_wrong_type_in_the_events_is_named_with_line_and_key(paused: Path) -> None:
    path = paused / "events.jsonl"
    path.write_text(path.read_text().replace('"val_acc": 0.375', '"val_acc": "good"'))
    with pytest.raises(SweepError) as caught:
        repair(paused)
    assert "line 3 is not an event: metrics: val_acc: expected a number, found 'good'" in str(
        caught.value
    )
    assert "restore the file from a copy" in str(caught.value)


@pytest.mark.parametrize("name", ["metrics.jsonl", "trial.log", "checkpoints"])
def test_a_directory_in_place_of_a_file_is_refused_before_ray_starts(
    name: str, paused: Path
) -> None:
    path = file_of(paused, name)
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("")
    else:
        replace_by_directory(path)
    with pytest.raises(SweepError, match="move it away"):
        repair(paused)
