"""Buttons and forms reach a sweep by the same requests as the command line."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sweeps.steering.client import wait_for
from sweeps.steering.request import (
    Answer,
    Request,
    Verb,
    read_judgement,
    read_requests,
    write_answer,
)
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

STATES: dict[int, Any] = {0: "paused", 1: "paused", 2: "failed"}
SELECTED = ["0000aaaa", "0002aaaa", "../evil", None, {"id": "0001aaaa"}, "0001aaaa"]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A paused sweep, which a client steers itself as no driver runs it."""
    tune = {"scheduler": "fifo", "num_samples": 6}
    return FakeSweep(
        tmp_path / "sweep", trials=4, state="paused", states=STATES, tune=tune
    ).write()


def judgements(sweep: Path) -> list[tuple[str, str | None, str]]:
    events = EventLog(SweepLayout(sweep).events_file).read()
    read = [read_judgement(e.trial, e.request) for e in events if e.request is not None]
    return [(judgement.verb, judgement.trial, judgement.state) for judgement in read]


def cards(response: Any) -> list[tuple[str, str]]:
    """Returns (class, text) of the answers that a page shows."""
    children = response.get_json()["response"]["answers"]["children"]
    return [(card["props"]["className"], card["props"]["children"]) for card in children]


def test_a_button_concerns_the_selected_trials_that_it_fits(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    button = {"type": "selected-sure", "verb": "stop", "sweep": "sweep"}
    before = [{"props": {"className": "answer accepted", "children": "earlier"}}] * 4
    response = browser.click(button, selected_trials=SELECTED, answers=before)
    shown = cards(response)
    assert [text for _, text in shown[-2:]] == [
        "Trial 0000aaaa is stopped.",
        "Trial 0001aaaa is stopped.",
    ]
    assert len(shown) == 5, "the oldest answer makes room"
    assert judgements(sweep) == [
        ("stop", "0000aaaa", "accepted"),
        ("stop", "0001aaaa", "accepted"),
    ]


def test_a_refused_request_is_shown_with_its_reason(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    button = {"type": "request", "verb": "resume", "sweep": "sweep", "trial": "0000aaaa"}
    [(kind, text)] = cards(browser.click(button))
    assert kind == "answer refused"
    assert "is not paused by `sweep trial pause`" in text
    assert judgements(sweep) == [("resume", "0000aaaa", "refused")]
    other = {**button, "verb": "burn"}
    assert browser.click(other).status_code == 204


@pytest.mark.parametrize("verb", ["stop", "pause"])
def test_an_answer_says_whether_a_trial_trains_its_epoch_first(verb: Verb, sweep: Path) -> None:
    button = {"type": "request", "verb": verb, "sweep": "sweep", "trial": "0000aaaa"}
    if verb == "stop":
        button["type"] += "-sure"
    with FileLock(sweep / LOCK_FILE):  # a driver, which this test is

        def answer() -> None:
            while not (waiting := read_requests(sweep)):
                time.sleep(0.01)
            values = {"epoch": 3}
            write_answer(sweep, Answer(waiting[0].id, "accepted", None, "0000aaaa", values))

        driver = threading.Thread(target=answer)
        driver.start()
        [(_, later)] = cards(UiBrowser(sweep).click(button))
        driver.join()
    for request in read_requests(sweep):
        request.remove()
    [(_, at_once)] = cards(UiBrowser(sweep).click(button))
    assert (later, at_once) == {
        "stop": ("Trial 0000aaaa stops at the end of its epoch.", "Trial 0000aaaa is stopped."),
        "pause": (
            "Trial 0000aaaa pauses at the end of its epoch, until it is resumed.",
            "Trial 0000aaaa is paused until it is resumed.",
        ),
    }[verb]


def test_a_click_on_many_trials_says_which_were_refused_and_how_many_were_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.ui.pages.requests.MAX_SELECTED", 9)
    states: dict[int, Any] = dict.fromkeys(range(12), "paused")
    directory = FakeSweep(
        tmp_path / "sweep", trials=12, state="paused", states=states, finals={4: 0, 5: 0}
    ).write()
    button = {"type": "selected", "verb": "pause", "sweep": "sweep"}
    ids = [f"{number:04d}aaaa" for number in range(12)]
    shown = cards(UiBrowser(directory).click(button, selected_trials=ids))
    refused = "pause is refused: trial {}aaaa repeats a winner (tune.final), which always trains "
    assert shown == [
        ("answer accepted", "Accepted: 7 requests."),
        ("answer refused", refused.format("0004") + "all its epochs"),
        ("answer refused", refused.format("0005") + "all its epochs"),
        (
            "answer refused",
            "A click concerns at most 9 trials; 3 more were left as they are.",
        ),
    ]


def test_all_requests_of_a_click_share_one_deadline(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.ui.pages.requests.ANSWER_TIMEOUT_S", 0.1)
    waits: list[float] = []

    def wait(directory: Path, request: Request, *, timeout_s: float) -> Answer:
        waits.append(timeout_s)
        return wait_for(directory, request, timeout_s=timeout_s)

    monkeypatch.setattr("sweeps.ui.pages.requests.wait_for", wait)
    button = {"type": "selected-sure", "verb": "stop", "sweep": "sweep"}
    with FileLock(sweep / LOCK_FILE):  # a driver that does not answer
        response = UiBrowser(sweep).click(button, selected_trials=["0000aaaa", "0001aaaa"])
    assert all("the request is withdrawn" in text for _, text in cards(response))
    assert waits[0] > waits[1] == 0
    assert judgements(sweep) == []


def test_buttons_are_enabled_for_what_they_fit(sweep: Path) -> None:
    def disabled(browser: UiBrowser, selected: list[str]) -> dict[str, bool]:
        key = next(k for k in browser.app.callback_map if '"selected-inner"' in k)
        ids = {
            kind: [{"type": kind, "verb": verb, "sweep": "sweep"} for verb in verbs]
            for kind, verbs in (
                ("selected", ["pause", "resume", "retry"]),
                ("selected-inner", ["stop"]),
            )
        }
        outputs = [[{"id": i, "property": "disabled"} for i in ids[kind]] for kind in ids]
        body = {
            "output": key,
            "outputs": outputs,
            "inputs": [
                {"id": "selected-trials", "property": "data", "value": selected},
                {"id": "sweep-shown", "property": "data", "value": {}},
            ],
            "state": [{"id": "sweep-key", "property": "data", "value": "sweep"}],
            "changedPropIds": ["selected-trials.data"],
        }
        response = browser.post(body).get_json()["response"]
        return {json.loads(i)["verb"]: v["disabled"] for i, v in response.items()}

    browser = UiBrowser(sweep)
    assert set(disabled(browser, []).values()) == {True}
    assert disabled(browser, ["0000aaaa"]) == {
        "stop": False,
        "pause": False,
        "resume": True,
        "retry": True,
    }
    assert not disabled(browser, ["0002aaaa"])["retry"]
    assert set(disabled(UiBrowser(sweep, token=False), ["0000aaaa"]).values()) == {True}


def test_a_sweep_without_a_driver_cannot_be_paused(sweep: Path) -> None:
    response = UiBrowser(sweep).click({"type": "sweep-sure", "verb": "pause", "sweep": "sweep"})
    assert cards(response) == [("answer refused", "No driver runs this sweep.")]
    assert not SweepLayout(sweep).stop_file.exists()


def test_compare_links_to_the_selected_trials(sweep: Path) -> None:
    browser = UiBrowser(sweep, read_only=True)
    for selected, href in (
        (SELECTED[:1], ""),
        (SELECTED, "/sweep/sweep/compare?trials=0000aaaa,0002aaaa,0001aaaa"),
    ):
        answer = browser.call({"selected-trials.data": selected}, sweep_key="sweep")
        assert answer["compare-selected"]["href"] == href
