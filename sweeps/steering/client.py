"""Sends requests to a sweep and waits for the answers: the one way in for all that steers it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sweeps.results.loaded_sweep import find_record
from sweeps.steering.offline import OfflineSweep
from sweeps.steering.request import Answer, Request, Verb, new_request, read_answer, write_request
from sweeps.storage.location import delete, fetch, mirror_of, refresh, upload
from sweeps.storage.lock import sweep_lock
from sweeps.storage.uploader import background_upload
from sweeps.sweep_dir.errors import SweepError, SweepRunningError
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal.formatting import format_duration

FIRST_POLL_S, POLL_S, REMOTE_POLL_S = 0.05, 0.5, 2.0
"""Time between two looks for an answer: at first, at most, and in object storage."""
LOCK_CHECK_S, REMOTE_LOCK_CHECK_S = 2.0, 10.0
"""Time between two looks whether the driver still runs."""

NEEDS_ANSWER: tuple[Verb, ...] = ("suggest", "add")
"""Requests whose answers have values."""
_is_inside_driver: ContextVar[bool] = ContextVar("is_inside_driver", default=False)


@contextmanager
def inside_driver() -> Iterator[None]:
    """Lets no request that is sent wait for an answer: the driver waits for the caller."""
    token = _is_inside_driver.set(True)
    try:
        yield
    finally:
        _is_inside_driver.reset(token)


def refuse_inside_driver(action: str) -> None:
    """Refuses what waits for the driver where that waits for the caller.

    Raises:
        SweepError: It is called in a callback of `run_sweep`.
    """
    if _is_inside_driver.get():
        raise SweepError(
            f"{action} cannot be called in a callback, for which the sweep waits; call it in "
            "another process or thread"
        )


def send(
    directory: Path,
    verb: Verb,
    trial: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    *,
    wait: bool = True,
    timeout_s: float | None = None,
) -> Answer | None:
    """Sends a request to a sweep and returns its answer.

    The driver of the sweep answers. If there is none, this process takes the sweep's lock and
    carries the request out itself. An interrupt withdraws a request that has not been taken yet.

    Args:
        directory: The sweep directory.
        verb: What is requested.
        trial: The trial that it concerns: the beginning of its id, or its directory.
        arguments: More of the request, by verb; see `judgement`.
        wait: Whether to wait for the answer.
        timeout_s: How long to wait for it; the request is then withdrawn. None means for ever.

    Returns:
        The answer, always `accepted`; None without `wait`, and in a callback of `run_sweep`.

    Raises:
        SweepError: The request is refused, or not answered in time; or there is no such sweep or
            trial.
    """
    if verb in NEEDS_ANSWER:
        refuse_inside_driver(verb)
    request = submit(directory, verb, trial, arguments)
    if not wait or _is_inside_driver.get():
        answer_without_driver(directory, request)
        return None
    try:
        return wait_for(directory, request, timeout_s=timeout_s)
    except KeyboardInterrupt:
        withdraw(directory, request)
        raise


def submit(
    directory: Path,
    verb: Verb,
    trial: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Request:
    """Writes a request without waiting for its answer.

    Args:
        directory: The sweep directory.
        verb: What is requested.
        trial: The trial that it concerns: the beginning of its id, or its directory.
        arguments: More of the request, by verb.

    Raises:
        SweepError: There is no such sweep or trial, or its directory is not writable.
    """
    refresh(directory)
    layout = SweepLayout(directory)
    layout.read_sweep()
    trial_id = None if trial is None else find_record(directory, trial).id
    request = new_request(verb, trial_id, arguments)
    try:
        write_request(directory, request)
    except OSError as error:
        raise SweepError(f"{directory}: cannot be written to: {error.strerror}") from error
    upload(_request_file(directory, request))
    return request


def withdraw(directory: Path, request: Request) -> bool:
    """Takes a request back; returns whether the sweep had not taken it yet."""
    path = _request_file(directory, request)
    if not path.exists():
        return False
    delete(path)
    if _look_for_answer(directory, request) is not None:
        return False
    refresh(directory)
    events = EventLog(SweepLayout(directory).events_file).read_requests()
    return all((event.request or {}).get("id") != request.id for event in events)


def wait_for(directory: Path, request: Request, *, timeout_s: float | None = None) -> Answer:
    """Waits for the answer to a request; see `send`.

    Raises:
        SweepError: The request is refused, or not answered in time.
    """
    is_remote = mirror_of(directory) is not None
    started = time.monotonic()
    next_check, interval = started, FIRST_POLL_S
    while True:
        answer = _look_for_answer(directory, request)
        if answer is None and time.monotonic() >= next_check:
            answer = answer_without_driver(directory, request)
            next_check = time.monotonic() + (REMOTE_LOCK_CHECK_S if is_remote else LOCK_CHECK_S)
        if answer is not None:
            break
        if timeout_s is not None and time.monotonic() - started >= timeout_s:
            _give_up(directory, request, timeout_s)
        time.sleep(REMOTE_POLL_S if is_remote else interval)
        interval = min(POLL_S, 2 * interval)
    if answer.state == "refused":
        raise SweepError(f"{request.verb} is refused: {answer.reason}")
    return answer


def _give_up(directory: Path, request: Request, timeout_s: float) -> None:
    """Withdraws a request that is not answered in time.

    Raises:
        SweepError: Always.
    """
    text = f"no answer within {format_duration(timeout_s)}"
    if withdraw(directory, request):
        raise SweepError(f"{text}; the request is withdrawn")
    raise SweepError(f"{text}; the sweep has taken the request {request.id}")


def _look_for_answer(directory: Path, request: Request) -> Answer | None:
    if mirror_of(directory) is not None:
        fetch(SweepLayout(directory).answers / f"{request.id}.json")
    return read_answer(directory, request.id)


def answer_without_driver(directory: Path, request: Request) -> Answer | None:
    """Carries out all waiting requests if no driver runs the sweep.

    Returns:
        The answer to the request; None if a driver runs the sweep, which will answer.

    Raises:
        SweepError: The lock cannot be taken, or the sweep cannot be read; the request is
            withdrawn.
    """
    try:
        with sweep_lock(directory):
            answer = _look_for_answer(directory, request)  # the driver's last one
            if answer is None:
                with background_upload(directory):
                    OfflineSweep(directory).take_requests()
                answer = read_answer(directory, request.id)
            if answer is None:
                raise SweepError(f"the request {request.id} is gone without an answer")
            return answer
    except SweepRunningError:
        return None
    except Exception:
        withdraw(directory, request)
        raise


def _request_file(directory: Path, request: Request) -> Path:
    return SweepLayout(directory).requests / f"{request.id}.json"
