"""Files of requests and answers: what a client writes, and what is found in `requests/`."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.steering import request as request_module
from sweeps.steering.request import (
    Answer,
    Judgement,
    new_request,
    read_answer,
    read_judgement,
    read_requests,
    write_answer,
    write_request,
)
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import MAX_REQUEST_BYTES, SweepLayout

ID = "1700000000000-0123abcd"


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    directory = SweepLayout(tmp_path).requests
    directory.mkdir(mode=0o700)
    return directory


def content(**changes: Any) -> str:
    return json.dumps({"id": ID, "verb": "stop", "trial": "0a1b", "arguments": {}, **changes})


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    request = new_request("set", None, {"tune.num_samples": 64})
    write_request(tmp_path, request)
    (waiting,) = read_requests(tmp_path)
    assert (waiting.request, waiting.problem) == (request, None)
    assert SweepLayout(tmp_path).requests.stat().st_mode & 0o777 == 0o700
    assert waiting.remove()
    assert read_requests(tmp_path) == []
    answer = Answer(request.id, "refused", "too many", None, {"most": 32})
    assert read_answer(tmp_path, request.id) is None
    write_answer(tmp_path, answer)
    assert read_answer(tmp_path, request.id) == answer


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a request of this version"),
        ("[1, 2", "not a request of this version"),
        ("[]", "not a request of this version"),
        ("[" * 60_000, "not a request of this version"),
        ("\x00\xff", "not a request of this version"),
        ('{"id": "\\ud800"}', "not a request of this version"),
        (content(verb="delete"), "verb: Input should be"),
        (content(arguments=[]), "arguments: Input should be"),
        (content(trial=7), "trial: Input should be"),
        (content(path="/etc"), "path: Unexpected keyword"),
        (content(id="1700000000000-ffffffff"), "its id is '1700000000000-ffffffff'"),
        (content(arguments={"key": "x" * MAX_REQUEST_BYTES}), "it has more than 65536 bytes"),
        (content(arguments={"key": float("nan")}), "not JSON compliant"),
        (
            content(arguments={"key": 0}).replace("0}", "9" * 5000 + "}"),
            "number out of range",
        ),
    ],
)
def test_a_file_that_is_no_request_is_read_with_its_problem(
    text: str, problem: str, requests: Path
) -> None:
    (requests / f"{ID}.json").write_text(text)
    (waiting,) = read_requests(requests.parent)
    assert waiting.request is None
    assert problem in str(waiting.problem)


def test_only_regular_files_of_the_names_of_requests_are_read(
    requests: Path, tmp_path: Path
) -> None:
    outside = tmp_path / f"{ID}.json"
    outside.write_text(content())
    (requests / f"{ID}.json").symlink_to(outside)
    os.mkfifo(requests / "1700000000001-0123abcd.json")
    (requests / "1700000000002-0123abcd.json").mkdir()
    for name in (f".{ID}.json.0123.tmp", f"{ID}.json~", f"{ID.upper()}.json", "\n.json", "..json"):
        (requests / name).write_text(content())
    before = sorted(requests.iterdir())
    assert read_requests(tmp_path) == []
    assert sorted(requests.iterdir()) == before


def test_the_oldest_of_thousands_of_requests_are_read_first(requests: Path) -> None:
    for number in range(3000):
        (requests / f"{number:013d}-0123abcd.json").touch()
        (requests / f"garbage {number}").touch()
    waiting = read_requests(requests.parent)
    assert [w.id[:13] for w in waiting] == [f"{n:013d}" for n in range(request_module.MAX_READ)]
    waiting = read_requests(requests.parent, skip={w.id for w in waiting})
    assert waiting[0].id[:13] == f"{request_module.MAX_READ:013d}"


def replace_by_link(requests: Path) -> None:
    requests.rmdir()
    (requests.parent / "elsewhere").mkdir()
    requests.symlink_to(requests.parent / "elsewhere")


def replace_by_file(requests: Path) -> None:
    requests.rmdir()
    requests.touch()


@pytest.mark.parametrize("replace", [replace_by_link, replace_by_file])
def test_requests_are_sent_and_read_only_in_a_directory(
    replace: Callable[[Path], None], requests: Path
) -> None:
    replace(requests)
    with pytest.raises(SweepError, match="expected a directory; delete it"):
        read_requests(requests.parent)
    with pytest.raises(SweepError, match="expected a directory; delete it"):
        write_request(requests.parent, new_request("set"))


def test_other_users_lose_the_right_to_write_requests(
    requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests.chmod(0o777)
    (requests / f"{ID}.json").write_text(content())
    (waiting,) = read_requests(requests.parent)
    assert waiting.request is not None
    assert requests.stat().st_mode & 0o777 == 0o755

    requests.chmod(0o777)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, "not the owner")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(SweepError, match=r"by other users; .* its owner runs: chmod go-w "):
        read_requests(requests.parent)


def test_the_requests_of_another_user_are_not_read(
    requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (requests / f"{ID}.json").write_text(content())
    monkeypatch.setattr(request_module, "check_owner", lambda directory: {os.geteuid() + 1})
    (waiting,) = read_requests(requests.parent)
    assert waiting.request is None
    assert "belongs to another user" in str(waiting.problem)


def test_a_request_that_cannot_be_deleted_is_skipped(
    requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (requests / f"{ID}.json").write_text(content())
    (waiting,) = read_requests(requests.parent)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "immutable")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert not waiting.remove()
    assert read_requests(requests.parent, skip={waiting.id}) == []


def test_a_judgement_is_read_from_the_event_log_as_it_was_written(tmp_path: Path) -> None:
    judgement = Judgement("x", "add", {"like": "a"}, "accepted", values={"lr": 0.1}, trial="b")
    log = EventLog(tmp_path / "events.jsonl")
    log.append(Event("request", "b", request=judgement.to_dict()), sync=True)
    (event,) = log.read()
    assert event.request is not None
    assert read_judgement(event.trial, event.request) == judgement
    with pytest.raises(SweepError, match=r"not one of this version: state: Input should be"):
        read_judgement("", {**event.request, "state": "maybe"})
