"""`trackers.json`: the trials that trackers have, and the id of a moved or copied sweep."""

import shutil
from pathlib import Path

import pytest

from sweeps.trackers.marks import Mark, Marks

MARK = Mark(3, "finished", 100)


@pytest.fixture
def sweep(tmp_path):
    directory = tmp_path / "first"
    directory.mkdir()
    (directory / "sweep.json").write_text("{}")
    return directory


INSIDE = {"optuna"}


def open_marks(directory):
    """Returns the marks of a sweep, and a function that opens those of a tracker."""
    marks = Marks(directory, str(directory))
    return marks, lambda name, target: marks.open(name, target, is_inside=name in INSIDE)


def write(directory, **targets):
    """Writes a mark for every tracker; returns tracker -> id of the sweep."""
    marks, open_tracker = open_marks(directory)
    own = {tracker: open_tracker(tracker, target) for tracker, target in targets.items()}
    for tracker in own.values():
        marks.set(tracker, "t1", MARK)
    marks.write()
    return {name: tracker.id for name, tracker in own.items()}


def test_marks_are_kept_while_a_tracker_stays_where_it_is(sweep):
    ids = write(sweep, mlflow="here", wandb="there")
    _, open_tracker = open_marks(sweep)
    assert open_tracker("mlflow", "here").trials == {"t1": MARK}
    assert open_tracker("mlflow", "here").id == ids["mlflow"]
    assert open_tracker("wandb", "elsewhere").trials == {}


def test_marks_can_be_dropped(sweep):
    write(sweep, mlflow="here")
    marks, open_tracker = open_marks(sweep)
    own = open_tracker("mlflow", "here")
    marks.clear(own)
    assert own.trials == {}


def test_a_sweep_that_was_moved_is_the_same_one_to_its_trackers(sweep):
    ids = write(sweep, mlflow="here")
    _, open_tracker = open_marks(sweep.rename(sweep.with_name("second")))
    assert open_tracker("mlflow", "here").id == ids["mlflow"]


def test_another_spelling_of_the_path_is_no_copy(sweep, monkeypatch):
    monkeypatch.chdir(sweep.parent)
    (sweep.parent / "link").symlink_to(sweep)
    ids = write(Path("first"), mlflow="here")
    assert write(sweep, mlflow="here") == ids
    assert write(sweep.parent / "link", mlflow="here") == ids


def test_a_copy_is_another_sweep_to_trackers_that_both_would_write_to(sweep):
    ids = write(sweep, mlflow="here", optuna="study.log")
    copy = shutil.copytree(sweep, sweep.with_name("second"))
    again = write(copy, mlflow="here", optuna="study.log", wandb="there")
    assert again["optuna"] == ids["optuna"]
    assert ids["mlflow"] != again["mlflow"] == again["wandb"]
    assert write(copy, mlflow="here", optuna="study.log", wandb="there") == again
    assert write(sweep, mlflow="here", optuna="study.log") == ids


def test_a_damaged_file_is_replaced(sweep):
    (sweep / "trackers.json").write_text("{")
    write(sweep, mlflow="here")
    _, open_tracker = open_marks(sweep)
    assert open_tracker("mlflow", "here").trials == {"t1": MARK}
