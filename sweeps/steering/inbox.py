"""Takes the requests of a sweep: judges, logs, carries out and answers each of them once.

The line in the event log is the commit. After a kill before it, the next process takes the request
as a new one; after a kill behind it, the effect follows from the log, and the request, if it is
still there, is only answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sweeps.steering.judgement import judge
from sweeps.steering.request import (
    Answer,
    Judgement,
    Request,
    Verb,
    WaitingRequest,
    read_requests,
    write_answer,
)
from sweeps.steering.view import SweepView
from sweeps.storage.uploader import publish_answer, publish_events
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import format_value
from trainable.errors import StorageError, TuneSweepsError, describe_full_disk

Effect = Callable[[Judgement], None]
"""Carries out an accepted request; a second time it must change nothing."""


class Inbox:
    """The requests of a sweep, for the one process that holds its lock.

    Args:
        directory: The sweep directory.
        log: The event log; the state in the view takes every event that is appended to it.
        view: Returns the sweep as it is now.
        effects: What each verb does; others are done by the next driver, as the log says.
    """

    def __init__(
        self,
        directory: Path,
        log: EventLog,
        view: Callable[[], SweepView],
        effects: Mapping[Verb, Effect],
    ) -> None:
        self._directory = directory
        self._log = log
        self._view = view
        self._effects = effects
        self._kept: set[str] = set()
        """Requests that were answered but whose files cannot be deleted."""
        self._notice: str | None = None

    def poll(self) -> list[Judgement]:
        """Takes the oldest requests that are waiting; returns the judgements of new ones.

        Raises:
            OSError: The disk is full; what has not been answered is taken by the next call.
        """
        taken = map(self._take, self._read())
        return [judgement for judgement in taken if judgement is not None]

    def take_all(self) -> None:
        """Takes all requests that are waiting, however many there are.

        Raises:
            OSError: The disk is full.
        """
        while waiting := self._read():
            for one in waiting:
                self._take(one)

    def _read(self) -> list[WaitingRequest]:
        try:
            return read_requests(self._directory, self._kept)
        except SweepError as error:
            if str(error) != self._notice:
                self._notice = str(error)
                print_line(f"note: {error}")
            return []

    def _take(self, waiting: WaitingRequest) -> Judgement | None:
        """Takes one request; returns its judgement if it is a new one."""
        view = self._view()
        earlier = view.state.judgements.get(waiting.id)
        if earlier is not None:
            self._answer(waiting, earlier.to_answer())
            return None
        if waiting.request is None:
            self._answer(waiting, Answer(waiting.id, "refused", waiting.problem))
            return None
        judgement = judge(waiting.request, view)
        if not waiting.path.exists():  # it has just been withdrawn
            return None
        self._commit(judgement)
        if judgement.accepted:
            self._carry_out(judgement)
        self._answer(waiting, judgement.to_answer())
        return judgement

    def _commit(self, judgement: Judgement) -> None:
        event = Event("request", judgement.trial or "", request=judgement.to_dict())
        self._log.append(event, sync=True)
        try:
            publish_events(self._directory)
        except StorageError as error:  # the background upload goes on trying
            print_line(f"note: a request is not in the object storage yet: {error}")

    def _carry_out(self, judgement: Judgement) -> None:
        effect = self._effects.get(judgement.verb)
        if effect is None:
            return
        try:
            effect(judgement)
        except TuneSweepsError as error:  # the log has it: the next driver carries it out
            print_line(f"note: {describe(judgement)} is not carried out yet: {error}")

    def _answer(self, waiting: WaitingRequest, answer: Answer) -> None:
        try:
            write_answer(self._directory, answer)
            publish_answer(SweepLayout(self._directory).answers / f"{answer.id}.json")
        except OSError as error:
            if describe_full_disk(error) is not None:
                raise
            print_line(f"note: the request {answer.id} cannot be answered: {error}")
            self._kept.add(waiting.id)
            return
        if not waiting.remove():
            self._kept.add(waiting.id)


def describe(request: Request | Judgement) -> str:
    """Returns what is requested, for messages: `stop trial 1b45c2d3`, `set KEY=VALUE`."""
    if request.trial:
        return f"{request.verb} trial {request.trial}"
    values = request.arguments if request.verb == "set" else {}
    words = [f"{key}={format_value(value)}" for key, value in values.items()]
    return " ".join([request.verb, *words])
