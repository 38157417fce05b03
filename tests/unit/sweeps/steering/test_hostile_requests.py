"""Hostile and damaged requests, and a full disk: they end no sweep, and each is answered once."""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.results.stored_spec import open_sweep
from sweeps.steering import inbox as inbox_module
from sweeps.steering.inbox import Inbox
from sweeps.steering.judgement import judge
from sweeps.steering.request import (
    MAX_READ,
    Judgement,
    Request,
    Verb,
    new_request,
    read_answer,
    write_request,
)
from sweeps.steering.state import SteeringState
from sweeps.steering.view import SweepView
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import FakeSweep, as_json, sweep

RUNNING, FAILED = "0011aaaa", "0003aaaa"
ID = "1700000000000-0123abcd"


class Driver:
    """A running sweep without trials that run: only its inbox is at work."""

    def __init__(self, directory: Path) -> None:
        states = {11: "running", 10: "pending", 3: "failed"}
        self.layout = SweepLayout(FakeSweep(directory, state="running", states=states).write())
        spec, records = open_sweep(self.layout.directory)
        state = SteeringState()
        log = EventLog(self.layout.events_file, state.add)
        self.view = SweepView(
            self.layout.directory,
            spec,
            {r.id: r for r in records},
            state,
            run_s=60.0,
            suggest=lambda: (12, {}),
        )
        self.effects: list[Judgement] = []
        verbs = get_args(Verb)
        effects = dict.fromkeys(verbs, self.effects.append)
        self.inbox = Inbox(self.layout.directory, log, lambda: self.view, effects)

    def logged(self) -> list[str]:
        """Returns the ids of the requests in the log."""
        events = EventLog(self.layout.events_file).read()
        return [e.request["id"] for e in events if e.request is not None]


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path / "digits")


def write_file(driver: Driver, text: str, name: str = ID) -> None:
    driver.layout.requests.mkdir(exist_ok=True)
    (driver.layout.requests / f"{name}.json").write_text(text)


ADD, SET = ({"verb": verb, "trial": None} for verb in ("add", "set"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("garbage", "not a request of this version: Invalid JSON"),
        ({"verb": "delete"}, "not a request of this version: verb: Input should be"),
        ({"id": "1700000000000-ffffffff"}, "not a request: its id is"),
        ({"trial": "../0011aaaa"}, "there is no trial ../0011aaaa"),
        ({"trial": "/etc/passwd"}, "there is no trial /etc/passwd"),
        ({"trial": None}, "stop needs a trial"),
        ({"arguments": {"epoch": 3}}, "stop takes no arguments"),
        ({"verb": "add"}, "add concerns the sweep, found trial 0011aaaa"),
        (ADD | {"arguments": {"from": "../../elsewhere/0011aaaa"}}, "no trial"),
        (ADD | {"arguments": {"path": "/etc"}}, "unknown arguments: path"),
        (SET | {"arguments": {"config.model.name": "evil:Model"}}, "config.model.name"),
        (SET | {"arguments": {"config.checkpoint.dir": "/etc"}}, "checkpoint.dir"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_the_reason_and_deleted(
    content: Any, reason: str, driver: Driver
) -> None:
    request = {"id": ID, "verb": "stop", "trial": RUNNING, "arguments": {}}
    write_file(driver, content if isinstance(content, str) else json.dumps(request | content))
    driver.inbox.poll()
    answer = read_answer(driver.layout.directory, ID)
    assert answer is not None
    assert answer.state == "refused"
    assert reason in str(answer.reason)
    assert list(driver.layout.requests.iterdir()) == []
    assert driver.effects == []


def test_thousands_of_requests_and_other_files_are_answered_bit_by_bit(driver: Driver) -> None:
    for number in range(3 * MAX_READ):
        write_file(driver, "garbage", f"{number:013d}-0123abcd")
        write_file(driver, "garbage", f"other {number}")
    last = new_request("stop", RUNNING)
    write_request(driver.layout.directory, last)
    driver.inbox.poll()
    assert len(list(driver.layout.answers.iterdir())) == MAX_READ
    driver.inbox.take_all()
    assert len(list(driver.layout.answers.iterdir())) == 3 * MAX_READ + 1
    assert len(list(driver.layout.requests.iterdir())) == 3 * MAX_READ
    assert driver.logged() == [last.id]


def full_disk(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "name", "logged", "done"),
    [
        (EventLog, "append", 0, 0),
        (inbox_module, "write_answer", 1, 1),
    ],
)
def test_on_a_full_disk_a_request_waits_and_is_taken_once(
    where: Any, name: str, logged: int, done: int, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = new_request("stop", RUNNING)
    write_request(driver.layout.directory, request)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, full_disk)
        with pytest.raises(OSError, match="No space left"):
            driver.inbox.poll()
    assert (len(driver.logged()), len(driver.effects)) == (logged, done)
    assert len(list(driver.layout.requests.iterdir())) == 1
    driver.inbox.poll()
    assert driver.logged() == [request.id]
    assert [judgement.id for judgement in driver.effects] == [request.id]
    assert read_answer(driver.layout.directory, request.id) is not None
    assert list(driver.layout.requests.iterdir()) == []


def test_a_request_that_cannot_be_deleted_is_answered_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(driver, "garbage")
    answered = []
    write_answer = inbox_module.write_answer

    def count(directory: Path, answer: Any) -> None:
        answered.append(answer.id)
        write_answer(directory, answer)

    monkeypatch.setattr(inbox_module, "write_answer", count)
    monkeypatch.setattr(inbox_module.WaitingRequest, "remove", lambda self: False)
    for _ in range(3):
        driver.inbox.poll()
    assert answered == [ID]


def test_requests_of_others_are_announced_once_and_not_read(
    driver: Driver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    driver.layout.requests.symlink_to(tmp_path / "elsewhere")
    for _ in range(3):
        assert driver.inbox.poll() == []
    assert capsys.readouterr().out.count("expected a directory; delete it") == 1


KEYS = ["tune.num_samples", "tune", "", ".", "a..b", "set", "like", "from", "suggestion", "\x00"]
KEYS += ["optimizer.learning_rate", "optimizer", "training.batch_size", "model.name", "config"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([RUNNING, FAILED, "../x", "auto", "sgd", "3h", "{a: 1}", "x" * 5000])
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> SweepView:
    return Driver(tmp_path_factory.mktemp("view") / "digits").view


@given(
    verb=st.sampled_from(get_args(Verb)),
    trial=st.sampled_from([None, RUNNING, FAILED, "", "../x"]),
    arguments=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
)
def test_no_arguments_of_a_request_end_a_sweep(
    view: SweepView, verb: Verb, trial: str | None, arguments: dict[str, Any]
) -> None:
    judgement = judge(Request(ID, verb, trial, arguments), view)
    assert json.loads(json.dumps(judgement.to_dict()))["state"] in {"accepted", "refused"}


def put_garbage(layout: SweepLayout) -> None:
    """Fills the two directories with files that look like those of trials, and others."""
    rng = random.Random(1)
    for directory in (layout.requests, layout.answers):
        directory.mkdir(exist_ok=True)
        for name in ("trial.json", "metrics.jsonl", "sweep.json", "events.jsonl", "config.yaml"):
            (directory / name).write_bytes(rng.randbytes(100))
        (directory / "checkpoints").mkdir()
        (directory / "checkpoints" / "best.pt").write_bytes(b"weights")
        (directory / f"{ID}.json").write_text("garbage")
        (directory / ".x.tmp").touch()


READERS: dict[str, Callable[[Path], Any]] = {
    "list": lambda directory: as_json("list", directory.parent),
    "status": lambda directory: as_json("status", directory),
    "best": lambda directory: as_json("best", directory),
    "gc": lambda directory: sweep("gc", directory, "--dry-run").stdout,
}


@pytest.mark.parametrize("name", READERS)
def test_readers_of_a_sweep_leave_out_requests_and_answers(name: str, tmp_path: Path) -> None:
    layout = SweepLayout(FakeSweep(tmp_path / "digits").write())
    expected = READERS[name](layout.directory)
    put_garbage(layout)
    assert READERS[name](layout.directory) == expected
