"""`events.jsonl`: appended, read back, repaired after a kill, refused with a broken line."""

import math
import pickle
from pathlib import Path

import pytest

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import Event, EventLog
from tests.support.small_disks import largest_file

EVENTS = [
    Event("add", "a1"),
    Event("result", "a1", 1, {"val_acc": 0.5}, "CONTINUE"),
    Event("result", "a1", 2, {"val_acc": 0.25}, "STOP"),
    Event("complete", "a1", 2, {"val_acc": 0.25}),
    Event("remove", "b2"),
    Event("error", "c3"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a log with the events above."""
    log = EventLog(tmp_path / "events.jsonl")
    for event in EVENTS:
        log.append(event)
    return tmp_path / "events.jsonl"


def test_another_process_reads_the_events_in_order(path: Path) -> None:
    assert EventLog(path).read() == EVENTS
    assert len(path.read_text().splitlines()) == len(EVENTS)


def test_a_missing_file_has_no_events_and_is_not_created(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "events.jsonl").read() == []
    assert list(tmp_path.iterdir()) == []


def test_absent_fields_are_not_written(path: Path) -> None:
    assert path.read_text().splitlines()[0] == '{"kind": "add", "trial": "a1", "epoch": 0}'


def test_a_last_line_that_is_cut_short_anywhere_is_removed(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.rfind(b"\n", 0, -1) + 1
    for length in range(start, len(whole)):
        path.write_bytes(whole[:length])
        log = EventLog(path)
        assert log.read() == EVENTS[:-1], length
        log.append(EVENTS[-1])
        assert log.read() == EVENTS, length


def test_a_torn_line_is_removed_by_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind": "ad')
    log = EventLog(path)
    assert log.read() == []
    assert path.read_bytes() == b'{"kind": "ad', "reading changes nothing"
    log.append(EVENTS[0])
    log.close()
    assert path.read_bytes() == EVENTS[0].to_line()


def test_nan_and_infinite_metrics_are_read_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append(Event("result", "a1", 1, {"val_loss": math.nan, "train_loss": math.inf}, "STOP"))
    (event,) = log.read()
    assert event.metrics is not None
    assert math.isnan(event.metrics["val_loss"])
    assert event.metrics["train_loss"] == math.inf


def test_an_event_is_in_the_file_before_the_log_is_closed(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append(EVENTS[0])
    assert EventLog(tmp_path / "events.jsonl").read() == EVENTS[:1]
    log.close()
    log.append(EVENTS[1])
    assert EventLog(tmp_path / "events.jsonl").read() == EVENTS[:2]


def test_an_open_log_can_be_pickled_and_appended_to(path: Path) -> None:
    log = EventLog(path)
    log.append(EVENTS[0])
    copy = pickle.loads(pickle.dumps(log))
    copy.append(EVENTS[1])
    assert copy.read()[-2:] == EVENTS[:2]


def test_an_event_that_does_not_fit_on_the_disk_leaves_no_bytes(path: Path) -> None:
    log = EventLog(path)
    log.append(EVENTS[0])
    before = path.read_bytes()
    with largest_file(len(before) + 7), pytest.raises(OSError, match="too large"):
        log.append(EVENTS[1])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", '{"kind": "add", "trial": "x", "colour": 1}', '{"kind": "add"}', "[1]"],
    ids=["empty", "text", "unknown key", "missing key", "list"],
)
def test_a_broken_line_among_others_is_named(line: str, path: Path) -> None:
    """A log with a gap would bring the scheduler into a different state."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    before = path.read_bytes()
    with pytest.raises(SweepError) as caught:
        EventLog(path).read()
    assert str(caught.value).startswith(f"{path}: line 3 is not an event: ")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
