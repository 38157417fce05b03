"""Epochs that `metrics.jsonl` lacks: how they are noticed, and where they are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.records import TrialRecord, TrialState
from sweeps.sweep_dir.trial_rows import TrialRows, TrialRowsReader, format_epochs


def read(directory: Path, state: TrialState, *epochs: int, **options: Any) -> TrialRows:
    """Reads a trial of four epochs whose `metrics.jsonl` has these."""
    trial = directory / "t"
    trial.mkdir()
    rows = [{"epoch": epoch, "val_acc": epoch / 10} for epoch in epochs]
    (trial / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = TrialRowsReader(directory, "val_acc", {"training": {"epochs": 4}}, **options)
    return reader.read(TrialRecord("t", 0, "t", {}, state=state))


def log(directory: Path, *epochs: int) -> None:
    events = EventLog(directory / "events.jsonl")
    for epoch in epochs:
        events.append(Event("result", "t", epoch, {"val_acc": epoch / 10, "time_total_s": 1.0}))
    events.close()


def test_a_whole_file_is_not_touched(tmp_path: Path) -> None:
    trial = read(tmp_path, "finished", 1, 2, 3, 4)
    assert (len(trial.rows), trial.damage, trial.unknown) == (4, None, ())


@pytest.mark.parametrize("epochs", [(1, 2), (1, 3, 4), ()])
def test_lacking_epochs_of_a_finished_trial_are_read_from_the_events(
    tmp_path: Path, epochs: tuple[int, ...]
) -> None:
    log(tmp_path, 1, 2, 3, 4)
    trial = read(tmp_path, "finished", *epochs)
    assert trial.rows == [{"epoch": e, "val_acc": e / 10} for e in (1, 2, 3, 4)]
    assert trial.unknown == ()
    assert trial.damage is not None
    assert "read from events.jsonl" in trial.damage


def test_epochs_that_no_file_has_are_unknown(tmp_path: Path) -> None:
    log(tmp_path, 3)
    trial = read(tmp_path, "finished", 1)
    assert trial.unknown == (2, 4)
    assert trial.damage is not None
    assert "lacks epochs 2 to 4; epochs 2, 4 of trial t cannot be read" in trial.damage


def test_the_end_of_a_stopped_trial_is_that_of_its_events(tmp_path: Path) -> None:
    log(tmp_path, 1, 2)
    assert [row["epoch"] for row in read(tmp_path, "stopped", 1).rows] == [1, 2]


def test_the_log_may_be_ahead_of_a_trial_that_went_back(tmp_path: Path) -> None:
    """A paused trial has its checkpoint's epochs, whatever was logged before a kill."""
    log(tmp_path, 1, 2, 3)
    assert read(tmp_path, "paused", 1).damage is None


def test_a_running_trial_is_taken_as_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, "running", 2, is_live=True).damage is None


def test_epochs_are_written_as_ranges() -> None:
    assert format_epochs([1, 2, 3, 5]) == "epochs 1 to 3, 5"
    assert format_epochs([2]) == "epoch 2"
