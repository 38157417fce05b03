"""The state that follows from the requests in a sweep's event log.

Every effect of an accepted request can be derived from here, so that a sweep whose driver was
killed between the line in the log and the effect has it once, after the resume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sweeps.steering.request import EPOCH, Judgement, read_judgement
from sweeps.sweep_dir.event_log import ENDS, Event


@dataclass
class SteeringState:
    """The sum of a sweep's accepted requests."""

    judgements: dict[str, Judgement] = field(default_factory=dict)
    """Id of a request -> its judgement, of all that were answered."""
    stopping: dict[str, int] = field(default_factory=dict)
    """Trial that is to be stopped and has not ended -> the epoch until which it trains."""
    stopped: set[str] = field(default_factory=set)
    """Trials that a request has stopped or is stopping."""
    removed: set[str] = field(default_factory=set)
    """Trials that a request has stopped while they waited; their records may not say so yet."""
    held: dict[str, int] = field(default_factory=dict)
    """Trial that is held, which means paused until it is resumed by hand -> the epoch until which
    it trains."""
    released: list[str] = field(default_factory=list)
    """Trials that were resumed by hand and have completed no epoch since, in order."""
    last_set: Judgement | None = None
    """The last accepted `set`."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> SteeringState:
        """Returns the state after the events of a log, in order.

        Raises:
            SweepError: A request in the log is not one of this version.
        """
        state = cls()
        for event in events:
            state.add(event)
        return state

    def add(self, event: Event) -> None:
        """Adds the next event of the log."""
        if event.trial in self.released and event.kind in {"result", *ENDS}:
            self.released.remove(event.trial)
        if event.kind in ENDS:
            if event.kind == "remove" and event.trial in self.stopping:
                self.removed.add(event.trial)
            if event.kind == "error":  # a later stop is the scheduler's
                self.stopped.discard(event.trial)
            self.stopping.pop(event.trial, None)
            self.held.pop(event.trial, None)
        elif event.kind == "request" and event.request is not None:
            self._add_judgement(read_judgement(event.trial, event.request))

    def _add_judgement(self, judgement: Judgement) -> None:
        self.judgements[judgement.id] = judgement
        trial = judgement.trial
        if not judgement.accepted:
            return
        if trial in self.released and judgement.verb in {"stop", "pause"}:
            self.released.remove(trial)
        if judgement.verb == "set":
            self.last_set = judgement
        elif trial is None:
            return
        elif judgement.verb == "stop":
            self.stopping[trial] = judgement.values.get(EPOCH, 0)
            self.stopped.add(trial)
            self.held.pop(trial, None)
        elif judgement.verb == "pause":
            self.held[trial] = judgement.values.get(EPOCH, 0)
        elif judgement.verb == "resume":
            self.held.pop(trial, None)
            self.released.append(trial)
        elif judgement.verb == "retry":
            self.stopping.pop(trial, None)
            self.stopped.discard(trial)
            self.removed.discard(trial)
            self.held.pop(trial, None)
