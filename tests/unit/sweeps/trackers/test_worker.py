"""The messages of a client's process, without a client."""

from sweeps.sweep_dir.records import TrialRecord
from sweeps.trackers.update import RECORD
from sweeps.trackers.worker import Session
from tests.support.scripted_runs import open_session


def news(*epochs, known_rows=0, state="running"):
    record = RECORD.dump_json(TrialRecord("t1", 0, "trial_0", {}, state), by_alias=True).decode()
    rows = [{"epoch": epoch} for epoch in epochs]
    return {"record": record, "known_rows": known_rows, "rows": rows, "has_best": False}


def test_the_rows_of_a_trial_are_joined():
    session, runs = open_session()
    for message in (news(1, 2), news(3, known_rows=2), news(2, known_rows=1)):
        assert session.answer(message) == {}
    assert runs.epochs == [[1, 2], [1, 2, 3], [1, 2]]
    assert session.answer({"close": "finished"}) == {}
    assert runs.closed == "finished"


def test_any_exception_of_a_client_is_an_answer_in_one_line():
    session, runs = open_session()
    runs.fault = MemoryError()
    assert session.answer(news(1)) == {"error": "MemoryError"}
    runs.fault = RuntimeError("the server\nis down")
    assert session.answer(news(1)) == {"error": "RuntimeError: the server is down"}
    runs.fault = None
    assert session.answer(news(1, 2)) == {}
    assert runs.epochs == [[1, 2]]


def test_a_sweep_must_be_opened_first():
    session = Session("scripted")
    assert "must open the sweep" in session.answer(news(1))["error"]
