"""Requests to sweeps that no driver runs, and waiting for a driver's answers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.resume import open_for_resume
from sweeps.results.stored_spec import read_search
from sweeps.steering.client import send, submit, wait_for, withdraw
from sweeps.steering.offline import OfflineSweep, complete_settings
from sweeps.steering.request import Answer, read_answer, read_requests, write_answer
from sweeps.steering.state import SteeringState
from sweeps.steering.sweep_pause import request_pause
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SEARCH_FILE, SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from tests.support.fake_sweeps import FakeSweep
from trainable.errors import TuneSweepsError

RANDOM: dict[str, Any] = {"num_samples": 6}


@pytest.fixture(name="sweep")
def write_sweep(tmp_path: Path) -> Path:
    """A paused sweep: trials 0 and 1 have ended, 2 is paused, 3 has not begun."""
    states = {0: "finished", 1: "failed", 2: "paused", 3: "pending"}
    fake = FakeSweep(tmp_path / "sweep", 4, state="paused", tune=RANDOM, states=states)  # type: ignore[arg-type]
    return fake.write()


def record(sweep: Path, number: int) -> TrialRecord:
    return SweepLayout(sweep).read_trials()[number]


def events(sweep: Path) -> list[Event]:
    return EventLog(SweepLayout(sweep).events_file).read()


def kinds(sweep: Path) -> list[tuple[str, str]]:
    return [(event.kind, event.trial) for event in events(sweep)]


def test_a_trial_of_a_paused_sweep_is_stopped_at_once(sweep: Path) -> None:
    answer = send(sweep, "stop", "0002")
    assert answer is not None
    assert (answer.trial, answer.values) == ("0002aaaa", {})
    stopped = record(sweep, 2)
    assert (stopped.state, stopped.stopped_by, stopped.stop_reason) == (
        "stopped",
        "hand",
        "by hand",
    )
    assert stopped.ended is not None
    assert kinds(sweep) == [("request", "0002aaaa"), ("remove", "0002aaaa")]
    assert SweepLayout(sweep).read_sweep().trials["stopped"] == 1
    assert read_requests(sweep) == []
    assert read_answer(sweep, answer.id) == answer
    with pytest.raises(SweepError, match="has ended already: it is stopped by hand"):
        send(sweep, "stop", "0002")


def test_a_trial_is_held_until_it_is_resumed(sweep: Path) -> None:
    send(sweep, "pause", "0003")
    assert record(sweep, 3).held
    assert SteeringState.of(events(sweep)).held == {"0003aaaa": 0}
    with pytest.raises(SweepError, match="paused already"):
        send(sweep, "pause", "0003")
    send(sweep, "resume", "0003")
    assert not record(sweep, 3).held
    assert SteeringState.of(events(sweep)).held == {}


def test_settings_are_written_into_the_search_file(sweep: Path) -> None:
    answer = send(sweep, "set", arguments={"tune.num_samples": 9, "tune.time_budget": "3h"})
    assert answer is not None
    assert answer.values == {
        "settings": {"tune.num_samples": 9, "tune.time_budget": 10800.0},
        "before": {"tune.num_samples": 6, "tune.time_budget": None},
    }
    spec, _ = read_search(sweep)
    assert (spec.tune.num_samples, spec.tune.time_budget) == (9, 10800.0)
    assert SweepLayout(sweep).read_sweep().settings == answer.id
    with pytest.raises(SweepError, match=r"tune\.num_samples is 9 already"):
        send(sweep, "set", arguments={"tune.num_samples": 9})


def test_settings_that_a_killed_driver_had_not_written_are_completed_once(sweep: Path) -> None:
    search_file = sweep / SEARCH_FILE
    before = search_file.read_bytes()
    send(sweep, "set", arguments={"tune.num_samples": 9})
    layout = SweepLayout(sweep)
    search_file.write_bytes(before)
    sweep_record = layout.read_sweep()
    sweep_record.settings = None
    layout.write_sweep(sweep_record)
    with open_for_resume(sweep) as (spec, _):
        assert spec.tune.num_samples == 9
    search_file.write_bytes(before)  # a resume with another number of trials, which is later
    complete_settings(sweep)
    assert search_file.read_bytes() == before


@pytest.mark.parametrize(
    ("verb", "trial", "arguments", "reason"),
    [
        ("stop", "0000", {}, "trial 0000aaaa has ended already: it is finished"),
        ("pause", "0001", {}, "trial 0001aaaa has ended already: it is failed"),
        ("resume", "0002", {}, "is not paused by `sweep trial pause`"),
        ("set", None, {"resources.cpu": 2}, "resources.cpu: takes effect with a new run"),
        ("set", None, {"tune.seed": 2}, "tune.seed: is no key that can change"),
        ("set", None, {"tune.num_samples": -2}, "tune.num_samples: must be > 0, found -2"),
        ("set", None, {}, "set takes KEY=VALUE, found nothing"),
        ("set", None, {"tune.num_samples": 3}, "4 configurations have begun, so it is at least 4"),
    ],
)
def test_what_does_not_fit_is_refused_and_logged(
    verb: Any, trial: str | None, arguments: dict[str, Any], reason: str, sweep: Path
) -> None:
    before = {path: path.read_bytes() for path in sweep.rglob("*.json")}
    with pytest.raises(SweepError) as error:
        send(sweep, verb, trial, arguments)
    assert reason in str(error.value)
    (event,) = events(sweep)
    assert event.request is not None
    assert (event.kind, event.request["state"]) == ("request", "refused")
    assert all(path.read_bytes() == content for path, content in before.items())


def test_no_request_is_written_for_an_unknown_trial_or_sweep(sweep: Path) -> None:
    with pytest.raises(SweepError, match="no trial has an id that begins"):
        send(sweep, "stop", "zzz")
    with pytest.raises(TuneSweepsError, match="is this a sweep's directory"):
        send(sweep.parent, "set", arguments={"tune.num_samples": 9})
    assert not (sweep / "requests").exists()


def test_the_driver_answers_while_it_holds_the_lock(sweep: Path) -> None:
    with sweep_lock(sweep):
        request = submit(sweep, "stop", "0002")
        answer = Answer(request.id, "accepted", trial="0002aaaa", values={"epoch": 3})
        thread = threading.Timer(0.2, write_answer, [sweep, answer])
        thread.start()
        assert wait_for(sweep, request) == answer
        thread.join()


def test_a_request_that_is_not_answered_in_time_is_withdrawn(sweep: Path) -> None:
    with sweep_lock(sweep), pytest.raises(SweepError, match="the request is withdrawn"):
        send(sweep, "stop", "0002", timeout_s=0.0)
    assert read_requests(sweep) == []
    assert not (sweep / "events.jsonl").exists()


def test_withdrawing_says_whether_it_was_in_time(sweep: Path) -> None:
    request = submit(sweep, "stop", "0002")
    assert withdraw(sweep, request)
    request = submit(sweep, "stop", "0002")
    OfflineSweep(sweep).take_requests()
    assert not withdraw(sweep, request)


def test_a_request_that_the_log_has_is_not_withdrawn(sweep: Path) -> None:
    """The driver has decided and has not answered yet."""
    request = submit(sweep, "stop", "0002")
    content = {"id": request.id, "verb": "stop", "arguments": {}, "state": "accepted"}
    EventLog(SweepLayout(sweep).events_file).append(Event("request", "0002aaaa", request=content))
    assert not withdraw(sweep, request)


def test_without_waiting_a_sweep_without_a_driver_takes_the_request_too(sweep: Path) -> None:
    assert send(sweep, "stop", "0002", wait=False) is None
    assert record(sweep, 2).state == "stopped"
    with sweep_lock(sweep):
        assert send(sweep, "stop", "0003", wait=False) is None
    assert len(read_requests(sweep)) == 1


def test_values_that_are_no_json_are_refused(sweep: Path) -> None:
    with pytest.raises(SweepError, match="must be plain numbers, texts, lists or mappings"):
        send(sweep, "set", arguments={"tune.target": Path("x")})


def test_a_failed_trial_is_neither_held_nor_stopped_by_hand_any_more() -> None:
    requests = [
        Event("request", trial, request={"id": f"{number:013d}-0000aaaa", "verb": verb, **rest})
        for number, (verb, trial) in enumerate([("pause", "aaaa"), ("stop", "bbbb")])
        for rest in [{"arguments": {}, "state": "accepted", "values": {"epoch": 3}}]
    ]
    state = SteeringState.of([*requests, Event("error", "aaaa"), Event("error", "bbbb")])
    assert (state.held, state.stopping, state.stopped) == ({}, {}, set())


def test_answers_that_cannot_be_written_do_not_end_the_sweep(sweep: Path) -> None:
    (sweep / "answers").write_text("")
    submit(sweep, "stop", "0002")
    OfflineSweep(sweep).take_requests()
    assert record(sweep, 2).state == "stopped"


def test_requests_are_taken_in_order_by_whoever_gets_the_lock(sweep: Path) -> None:
    first = submit(sweep, "stop", "0002")
    time.sleep(0.002)
    with pytest.raises(SweepError, match="has ended already: it is stopped by hand"):
        send(sweep, "stop", "0002")
    answer = read_answer(sweep, first.id)
    assert answer is not None
    assert answer.state == "accepted"


def test_a_pause_that_cannot_be_requested_says_why(sweep: Path) -> None:
    SweepLayout(sweep).stop_file.symlink_to(sweep / "missing" / "file")
    with sweep_lock(sweep), pytest.raises(SweepError, match="cannot be written to: No such file"):
        request_pause(sweep)
