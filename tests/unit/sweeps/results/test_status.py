"""Runs of a sweep that end before any trial saves an epoch: when and how the user is told."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.loaded_sweep import load
from sweeps.results.status import count_events, describe_stall, elapsed_s, note_start
from sweeps.sweep_dir.records import Failure, SweepRecord, TrialRecord, TrialState
from tests.support.fake_sweeps import FakeSweep, as_json, sweep

KEPT = {"config": {"checkpoint": {"enabled": True}}}


def record_of_runs(*events: int) -> SweepRecord:
    """Returns the record of a sweep in whose runs trials began with these numbers of events."""
    record = SweepRecord("digits", "paused", "then")
    for count in events:
        note_start(record, count)
    return record


def stall(record: SweepRecord, events: int, *, running: bool = False) -> str | None:
    return describe_stall(record, KEPT, events, running=running)


def test_two_runs_without_an_epoch_are_said_at_the_end_of_the_second() -> None:
    assert stall(record_of_runs(0), 0) is None
    text = stall(record_of_runs(0, 0), 0)
    assert text is not None
    assert text.startswith("no trial has saved an epoch in the last 2 runs of this sweep; ")
    assert "--time-budget" in text
    assert "--max-concurrent-trials" in text


def test_they_are_said_again_at_the_start_of_the_third_after_a_kill() -> None:
    assert stall(record_of_runs(0, 0), 0, running=True) is None
    third = stall(record_of_runs(7, 7, 7), 7, running=True)
    assert third is not None
    assert "in the last 2 runs" in third


def test_an_epoch_or_a_failure_ends_it() -> None:
    assert stall(record_of_runs(0, 0, 0), 1, running=True) is None
    assert stall(record_of_runs(0, 0, 0, 5), 5) is None
    failure = Failure("oom", "no memory", "", 0, None, "now")
    trials = [(TrialRecord("a", 0, "a", {}, failures=[failure]), 0)]
    assert count_events(trials) == 1
    assert count_events([(trials[0][0], 3), (TrialRecord("b", 1, "b", {}), 2)]) == 6


def test_a_sweep_of_an_earlier_version_or_a_finished_one_has_none() -> None:
    assert stall(SweepRecord("digits", "paused", "then"), 0) is None
    finished = record_of_runs(4, 4, 4)
    finished.state = "finished"
    assert stall(finished, 4) is None


@pytest.mark.parametrize(
    ("checkpoint", "need"),
    [
        ({"enabled": True}, "long enough for an epoch."),
        ({"enabled": True, "save_best": False, "save_frequency": 1}, "long enough for an epoch."),
        (
            {"enabled": True, "save_best": False, "save_frequency": 5},
            "long enough for 5 epochs (checkpoint.save_frequency).",
        ),
        ({}, "long enough for a whole trial, because checkpoint.enabled is false."),
    ],
)
def test_it_says_how_long_a_run_must_be(checkpoint: dict[str, Any], need: str) -> None:
    search = {"config": {"checkpoint": checkpoint}}
    text = describe_stall(record_of_runs(0, 0), search, 0, running=False)
    assert text is not None
    assert need in text


def test_the_running_time_of_a_sweep_that_has_vanished(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=2).write())
    shutil.rmtree(tmp_path / "sweep")
    assert elapsed_s(replace(sweep, state="running")) == 3600.0


def test_epochs_of_trials_stopped_by_hand_are_not_saved(tmp_path: Path) -> None:
    states: dict[int, TrialState] = {0: "stopped", 1: "stopped", 2: "finished"}
    rules = {0: "hand", 1: "early_stopping"}
    directory = FakeSweep(tmp_path / "sweep", trials=3, states=states, rules=rules).write()
    assert load(directory).saved_epochs() == 6  # of 9


def test_status_says_it(tmp_path: Path) -> None:
    states: dict[int, TrialState] = dict.fromkeys(range(3), "pending")
    directory = FakeSweep(tmp_path / "slow", trials=3, state="paused", states=states).write()
    path = directory / "sweep.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "events_at_start": 0, "runs_without_epoch": 1}))
    assert "no trial has saved an epoch in the last 2 runs" in sweep("status", directory).stdout
    assert as_json("status", directory)["stalled"].startswith("no trial has saved an epoch")
