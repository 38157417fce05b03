"""Paths of a sweep directory, and the cleanup after a kill."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, TrialRecord


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path)


@pytest.fixture
def record() -> TrialRecord:
    return TrialRecord("a1b2", 3, "resnet20_digits_20240115_143022_a1b2", {"lr": 0.1})


def test_trials_are_read_in_order_of_creation(layout: SweepLayout, record: TrialRecord) -> None:
    for number, name in enumerate(["z", "b", "a"]):
        layout.write_trial(dataclasses.replace(record, number=number, directory=name))
    assert [trial.directory for trial in layout.read_trials()] == ["z", "b", "a"]


def test_writing_a_new_trial_creates_only_its_directory_and_record(
    layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    layout.write_trial(record)
    assert [p.name for p in layout.directory.rglob("*")] == [record.directory, "trial.json"]


def test_only_what_a_kill_left_is_removed(layout: SweepLayout, record: TrialRecord) -> None:
    layout.write_trial(record)
    layout.write_sweep(SweepRecord("s", "running", "now"))
    trial = layout.directory / record.directory
    (trial / "metrics.jsonl").write_text("{}\n")
    (trial / "checkpoints").mkdir()
    (layout.directory / "my notes.tmp").write_text("keep")
    kept = set(layout.directory.rglob("*"))
    (layout.directory / ".sweep.json.0123456789ab.tmp").write_text("{")
    (trial / ".trial.json.0123456789ab.tmp").write_text("{")
    (trial / "checkpoints" / ".latest.pt.0123456789ab.tmp").write_text("half")
    unrecorded = layout.directory / "unrecorded"
    unrecorded.mkdir()
    (unrecorded / ".trial.json.0123456789ab.tmp").write_text("{")
    layout.remove_partial_writes()
    assert set(layout.directory.rglob("*")) == kept


def test_a_relative_directory_is_made_absolute(working_directory: Path) -> None:
    assert SweepLayout(Path("sweep")).directory == working_directory / "sweep"


def test_answers_are_kept_for_a_week_and_a_thousand_of_them(tmp_path: Path) -> None:
    layout = SweepLayout(tmp_path)
    layout.answers.mkdir()
    others = [layout.answers / "notes.txt", layout.answers / "1700000000000-0123abcd.json"]
    others[0].touch()
    others[1].mkdir()  # not an answer, and not deleted
    present = time.time()
    answers = [layout.answers / f"{number:013d}-0123abcd.json" for number in range(1003)]
    for index, path in enumerate(answers):
        path.touch()
        os.utime(path, (present, present - index))
    os.utime(answers[5], (0, 0))
    layout.remove_old_answers()
    left = set(layout.answers.iterdir()) - set(others)
    assert left == {*answers[:5], *answers[6:1000]}
    assert all(path.exists() for path in others)


def test_requests_and_answers_are_no_trials_and_are_not_cleaned_up(
    layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    layout.answers.mkdir()  # empty, as a client may have just created it
    layout.requests.mkdir()
    (layout.requests / ".1700000000000-0123abcd.json.0123.tmp").touch()
    for name in ("trial.json", "metrics.jsonl"):
        (layout.requests / name).write_text("{}")
    (layout.requests / "checkpoints").mkdir()
    before = sorted(layout.directory.rglob("*"))
    assert layout.scan_trials() == ([record], [])
    layout.remove_partial_writes()
    assert sorted(layout.directory.rglob("*")) == before
