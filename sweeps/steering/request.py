"""Requests to a sweep and its answers: files in the sweep directory.

digits_asha/
|-- requests/1799999999999-0a1b2c3d.json   written whole by a client, deleted once it is answered
`-- answers/1799999999999-0a1b2c3d.json    written by the driver

A request counts once its judgement is in `events.jsonl`; these files can be lost.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import stat
import time
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import MAX_REQUEST_BYTES, REQUEST_FILE, SweepLayout
from sweeps.sweep_dir.records import STRICT
from sweeps.terminal.commands import quote_word
from trainable.atomic_files import fsync, write_text

Verb = Literal["stop", "pause", "resume", "retry", "add", "set", "suggest"]
"""Kind of a request; `stop`, `pause`, `resume` and `retry` concern one trial."""
State = Literal["accepted", "refused"]

EPOCH = "epoch"
"""Value of an accepted `stop` or `pause`: the epoch until which a trial that runs trains."""

MAX_READ = 50
"""Most requests that are read at a time; others follow later."""
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Request:
    """A request to a sweep."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    """UTC milliseconds and a random part: the name of its file."""
    verb: Verb
    trial: str | None = None
    """The id of the trial that it concerns."""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """The decision of a sweep on a request: the `request` of a line in `events.jsonl`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    verb: Verb
    arguments: dict[str, Any]
    state: State
    reason: str | None = None
    """Why it was refused."""
    values: dict[str, Any] = field(default_factory=dict)
    """Everything resolved and drawn for an accepted request, so that nothing is drawn again."""
    trial: str | None = None
    """The trial that it concerns; in a line of `events.jsonl` it stands outside."""

    @property
    def accepted(self) -> bool:
        """Whether the request was accepted."""
        return self.state == "accepted"

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of the event, without its trial."""
        values = {key: value for key, value in asdict(self).items() if value not in (None, {})}
        return {key: value for key, value in values.items() if key != "trial"} | {
            "arguments": self.arguments
        }

    def to_answer(self) -> Answer:
        """Returns the answer to the client."""
        return Answer(self.id, self.state, self.reason, self.trial, self.values)


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    state: State
    reason: str | None = None
    """Why it was refused."""
    trial: str | None = None
    """The trial that it concerns; for `add`, the new one."""
    values: dict[str, Any] = field(default_factory=dict)
    """Result of the request, by verb; see `judgement`."""


_REQUEST = TypeAdapter(Request)
_JUDGEMENT = TypeAdapter(Judgement)
_ANSWER = TypeAdapter(Answer)


def new_request(
    verb: Verb, trial: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Request:
    """Creates a request with a new id."""
    id_ = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}"
    return Request(id_, verb, trial, dict(arguments or {}))


def write_request(directory: Path, request: Request) -> None:
    """Writes a request; on return it survives a loss of power.

    Args:
        directory: The sweep directory.
        request: The request.

    Raises:
        SweepError: It is too large, or other users can put requests there.
        OSError: The directory is not writable or the disk is full.
    """
    try:
        text = json.dumps(asdict(request), allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise SweepError(
            f"the values of a request must be plain numbers, texts, lists or mappings: {error}"
        ) from None
    if len(text.encode()) > MAX_REQUEST_BYTES:
        raise SweepError(
            f"a request has at most {MAX_REQUEST_BYTES} bytes, found {len(text.encode())}"
        )
    requests = SweepLayout(directory).requests
    with suppress(FileExistsError):
        requests.mkdir(mode=0o700)
    check_owner(requests)
    write_text(requests / f"{request.id}.json", text)
    fsync(requests)


@dataclass(frozen=True)
class WaitingRequest:
    """A file in `requests/`."""

    path: Path
    request: Request | None
    """None if the file is not a request."""
    problem: str | None = None
    """Why it is not."""

    @property
    def id(self) -> str:
        """The name of the file, without its suffix."""
        return self.path.stem

    def remove(self) -> bool:
        """Deletes the file of a request that was answered; returns whether that was possible."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return False
        return True


def read_requests(directory: Path, skip: Container[str] = ()) -> list[WaitingRequest]:
    """Reads the oldest requests of a sweep that are not answered yet, in order.

    A request is an order to a process with its owner's rights. Only regular files of the names of
    requests count; everything else in the directory is left alone.

    Args:
        directory: The sweep directory.
        skip: Ids of requests that were answered but whose files cannot be deleted.

    Raises:
        SweepError: Other users can put requests there.
    """
    requests = SweepLayout(directory).requests
    try:
        owners = check_owner(requests)
        with os.scandir(requests) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:  # there are none, or they cannot be read
        return []
    paths = (requests / name for name in sorted(names) if REQUEST_FILE.fullmatch(name))
    waiting = itertools.islice((path for path in paths if path.stem not in skip), MAX_READ)
    return [_read_request(path, owners) for path in waiting]


def check_owner(requests: Path) -> set[int]:
    """Checks that only trusted users can put requests into a directory.

    Write permission of others is taken away from it where this user may do so.

    Returns:
        The ids of the trusted users: this one, root, and the owner of the sweep directory.

    Raises:
        SweepError: It is not a directory, or other users can write to it.
        OSError: It does not exist or cannot be read.
    """
    status = requests.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise SweepError(f"{requests}: expected a directory; delete it to send requests")
    trusted = {os.geteuid(), 0, requests.parent.stat().st_uid}
    if status.st_uid not in trusted:
        raise SweepError(f"{requests} belongs to another user; requests in it are not read")
    if status.st_mode & WRITABLE_BY_OTHERS:
        try:  # without effect where a file system has no permissions
            requests.chmod(stat.S_IMODE(status.st_mode) & ~WRITABLE_BY_OTHERS)
        except OSError:
            raise SweepError(
                f"{requests} can be written to by other users; requests in it are not read until "
                f"its owner runs: chmod go-w {quote_word(requests)}"
            ) from None
    return trusted


def _read_request(path: Path, owners: Container[int]) -> WaitingRequest:
    try:
        request = _REQUEST.validate_json(_read_regular_file(path, owners))
        json.dumps(request.arguments, allow_nan=False)  # as the event log will have to
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        text = f"{key}: {first['msg']}" if key else first["msg"]
        return WaitingRequest(path, None, f"not a request of this version: {text}")
    except (OSError, ValueError) as error:
        return WaitingRequest(path, None, f"not a request: {error}")
    if request.id != path.stem:
        return WaitingRequest(path, None, f"not a request: its id is {request.id!r}")
    return WaitingRequest(path, request)


def _read_regular_file(path: Path, owners: Container[int]) -> bytes:
    """Reads a file of at most `MAX_REQUEST_BYTES` bytes.

    Raises:
        ValueError: It is another user's, too large, or something other than a file.
        OSError: It cannot be read, or is a symbolic link.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("a regular file is required")
        if status.st_uid not in owners:
            raise ValueError(f"it belongs to another user, of id {status.st_uid}")
        data = file.read(MAX_REQUEST_BYTES + 1)
    if len(data) > MAX_REQUEST_BYTES:
        raise ValueError(f"it has more than {MAX_REQUEST_BYTES} bytes")
    return data


def write_answer(directory: Path, answer: Answer) -> None:
    """Writes the answer to a request and deletes old ones."""
    layout = SweepLayout(directory)
    layout.answers.mkdir(exist_ok=True)
    layout.remove_old_answers()
    write_text(layout.answers / f"{answer.id}.json", json.dumps(asdict(answer)) + "\n")


def read_answer(directory: Path, id_: str) -> Answer | None:
    """Reads the answer to a request; None if there is none yet.

    Raises:
        SweepError: The file is not an answer.
    """
    path = SweepLayout(directory).answers / f"{id_}.json"
    try:
        answer: Answer = _ANSWER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SweepError(f"{path}: not an answer of this version") from error
    return answer


def read_judgement(trial: str, content: Mapping[str, Any]) -> Judgement:
    """Returns the judgement in a `request` line of `events.jsonl`.

    Args:
        trial: The line's trial; empty if it concerns the sweep.
        content: The line's `request`.

    Raises:
        SweepError: It is not one of this version.
    """
    try:
        judgement: Judgement = _JUDGEMENT.validate_json(
            json.dumps({**content, "trial": trial or None})
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise SweepError(
            f"events.jsonl: a request is not one of this version: {key}: {first['msg']}"
        ) from None
    return judgement
