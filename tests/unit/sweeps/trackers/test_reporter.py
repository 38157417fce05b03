"""Reporting to a tracker that is down, hangs or is killed: here Optuna's journal."""

import json
import os
import signal
from dataclasses import replace

import pytest

from sweeps.report import optuna_journal
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.trackers.process import ClientProcess
from sweeps.trackers.reporter import Reporter
from tests.support.fake_sweeps import trial
from tests.support.reporting import (
    LIMITS,
    Reporting,
    add_epoch,
    journal_epochs,
    journal_epochs_if_any,
    recorded_epochs,
    wait_for,
    write_sweep,
)


@pytest.fixture
def directory(tmp_path):
    return write_sweep(tmp_path / "mine")


def test_a_tracker_that_is_down_is_printed_once_and_gets_everything_later(directory):
    """Epochs are sent when they come and at the end."""
    (directory / "study.log").mkdir()  # cannot be opened as a file
    reporting = Reporting(directory).start()
    wait_for(lambda: reporting.lines)
    add_epoch(directory, 0, 6)
    reporting.trackers.wake(trial(directory, 0).name)
    (directory / "study.log").rmdir()
    wait_for(lambda: len(reporting.lines) == 2)
    add_epoch(directory, 0, 7)
    reporting.trackers.wake(trial(directory, 0).name)
    wait_for(lambda: journal_epochs_if_any(directory) == recorded_epochs(directory))
    add_epoch(directory, 1, 6)  # nothing wakes the tracker
    failed, again = reporting.finish()
    assert failed.startswith("Optuna's journal failed (the sweep is not affected): IsADirectory")
    assert again == "Optuna's journal gets the sweep again"
    assert journal_epochs(directory) == recorded_epochs(directory)
    assert len(recorded_epochs(directory)["0001aaaa"]) == 6


@pytest.mark.parametrize(
    "fault", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]
)
def test_a_client_that_is_killed_or_hangs_is_replaced(fault, directory, monkeypatch):
    clients = []

    class Noted(ClientProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            clients.append(self)

    monkeypatch.setattr("sweeps.trackers.reporter.ClientProcess", Noted)
    reporting = Reporting(directory, replace(LIMITS, update_s=5.0)).start()
    wait_for(lambda: journal_epochs_if_any(directory) == recorded_epochs(directory))
    os.kill(clients[0]._process.pid, fault)
    add_epoch(directory, 0, 6)
    reporting.trackers.wake(trial(directory, 0).name)
    wait_for(lambda: len(reporting.lines) == 2)
    reporting.finish()
    assert len(clients) == 2
    reason = "has ended with exit code -9" if fault == signal.SIGKILL else "it does not answer"
    assert reason in reporting.lines[0]
    assert journal_epochs(directory) == recorded_epochs(directory)


@pytest.mark.slow
def test_a_directory_that_cannot_be_read_for_a_moment_is_read_again(directory, monkeypatch):
    scan, faults = SweepLayout.scan_trials, [OSError(5, "Input/output error")]
    monkeypatch.setattr(
        SweepLayout, "scan_trials", lambda layout: scan(layout) if not faults else fail(faults)
    )
    reporting = Reporting(directory).start()
    wait_for(lambda: len(reporting.lines) == 2)
    reporting.finish()
    assert "Input/output error" in reporting.lines[0]
    assert journal_epochs(directory) == recorded_epochs(directory)


def fail(faults):
    raise faults.pop()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_wait_at_the_end_has_a_limit_also_for_a_tracker_that_makes_progress(directory):
    reporting = Reporting(directory, replace(LIMITS, join_s=0.0)).start()
    (line,) = reporting.finish()
    assert line.startswith("note: Optuna's journal does not have 16 epochs of 3 trials yet; ")


def test_the_location_of_a_sweep_is_its_path_however_it_was_spelled(directory):
    reporting = Reporting(directory, replace(LIMITS, join_s=0.0))
    training = reporting.spec.training
    checkpoint = training.checkpoint.model_copy(update={"dir": "experiments"})
    training = training.model_copy(update={"checkpoint": checkpoint})
    reporting.spec = reporting.spec.model_copy(update={"training": training})
    reporting.start().finish()
    marks = json.loads((directory / "trackers.json").read_bytes())
    assert marks["directory"] == str(directory)


@pytest.mark.parametrize("step", ["__init__", "count_unsent"])
def test_no_exception_of_a_tracker_reaches_the_sweep(step, directory, monkeypatch):
    faults = [RuntimeError("can't start new thread")]
    monkeypatch.setattr(Reporter, step, lambda *arguments: fail(faults))
    limits = replace(LIMITS, join_s=0.0)
    (line,) = Reporting(directory, limits).start().finish()
    assert "(the sweep is not affected): can't start new thread" in line


def test_a_journal_is_repaired_under_the_lock_of_its_writers(tmp_path, monkeypatch):
    path, repair, locked = tmp_path / "study.log", optuna_journal.remove_partial_line, []

    def note_lock(journal):
        locked.append((tmp_path / "study.log.lock").is_symlink())
        repair(journal)

    monkeypatch.setattr(optuna_journal, "remove_partial_line", note_lock)
    path.write_text('{"op_code": 6, "wor')
    for name in ("mine", "yours"):
        optuna_journal.LiveStudy(path, name, name, metric="val_acc", mode="max", space={})
    assert locked == [True, True]
    assert not (tmp_path / "study.log.lock").is_symlink()
