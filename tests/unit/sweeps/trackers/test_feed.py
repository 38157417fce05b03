"""The data that is read from a trial's files for a tracker."""

import json

import pytest

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trackers.feed import Cursor, count_unsent, is_whole, read_trial
from sweeps.trackers.marks import Mark
from tests.support.scripted_runs import open_session


@pytest.fixture
def trial(tmp_path):
    """Writes the record and the rows of a trial."""

    def write(*accuracies, state="running", started="2026-01-01T00:00:00+00:00"):
        record = TrialRecord("t1", 0, "trial_0", {}, state, started=started)
        SweepLayout(tmp_path).write_trial(record)
        rows = [{"epoch": n, "val_acc": acc} for n, acc in enumerate(accuracies, start=1)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "trial_0" / "metrics.jsonl").write_text(lines)
        return tmp_path / "trial_0"

    return write


def epochs(reading):
    return [row["epoch"] for row in reading.message["rows"]]


def test_only_rows_that_are_new_are_sent(trial):
    first = read_trial(trial(0.1, 0.2), None)
    second = read_trial(trial(0.1, 0.2, 0.3), first.cursor)
    assert (epochs(first), first.message["known_rows"]) == ([1, 2], 0)
    assert (epochs(second), second.message["known_rows"]) == ([3], 2)
    assert read_trial(trial(0.1, 0.2, 0.3), second.cursor).message is None
    assert second.mark == Mark(3, "running", len(b'{"epoch": 1, "val_acc": 0.1}\n') * 3)


def test_all_rows_are_sent_again_after_a_trial_has_gone_back(trial):
    cursor = read_trial(trial(0.1, 0.2, 0.3), None).cursor
    assert epochs(read_trial(trial(0.1, 0.9), cursor)) == [1, 2]
    assert epochs(read_trial(trial(0.1, 0.9, 0.3), cursor)) == [1, 2, 3]
    assert epochs(read_trial(trial(0.1), cursor)) == [1]


def test_all_rows_are_sent_again_of_a_trial_that_goes_on_after_its_end(trial):
    session, runs = open_session()
    cursor = None
    for rows, state in [(1, "running"), (2, "failed"), (2, "failed"), (3, "running")]:
        reading = read_trial(trial(*[0.1, 0.2, 0.3][:rows], state=state), cursor)
        cursor = reading.cursor
        if reading.message is not None:
            assert session.answer(reading.message) == {}
    assert runs.epochs == [[1], [1, 2], [1, 2, 3]]


def test_a_new_state_is_news_without_a_new_epoch(trial):
    cursor = read_trial(trial(0.1), None).cursor
    reading = read_trial(trial(0.1, state="paused"), cursor)
    assert epochs(reading) == []
    assert json.loads(reading.message["record"])["state"] == "paused"


def test_a_row_that_is_being_written_waits(trial):
    directory = trial(0.1)
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val')
    assert epochs(read_trial(directory, None)) == [1]


def test_a_trial_that_has_not_started_is_not_sent(trial):
    assert read_trial(trial(started=None, state="pending"), None) is None


def test_a_damaged_file_is_named(trial):
    directory = trial(0.1)
    (directory / "metrics.jsonl").write_text("no row\n")
    with pytest.raises(SweepError, match=r"metrics.jsonl: line 1 is not an epoch's metrics"):
        read_trial(directory, Cursor())
    (directory / "trial.json").write_text("{}")
    with pytest.raises(SweepError, match=r"trial.json: not a record of this version"):
        read_trial(directory, None)


def test_a_tracker_has_a_trial_whole_if_state_and_rows_are_those_of_its_mark(trial):
    directory = trial(0.1, 0.2, state="finished")
    reading = read_trial(directory, None)
    assert is_whole(reading.record, directory, reading.mark)
    assert not is_whole(reading.record, directory, None)
    assert count_unsent(directory, None) == 2
    trial(0.1, 0.2, 0.3, state="finished")
    assert not is_whole(reading.record, directory, reading.mark)
    assert count_unsent(directory, reading.mark) == 1
