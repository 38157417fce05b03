"""Finds trials whose events are lost, and rebuilds events from the trials' own files.

A scheduler that does not know a trial cannot decide on it. Its events can be rebuilt where the
scheduler compares each result with those before it: what it decided is known, and the order of
the results is that of their times. A scheduler that pauses trials or exchanges their states also
needs what it chose in between, which is nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sweeps.sweep_dir.event_log import ENDS, Event
from sweeps.sweep_dir.records import ENDED, TrialRecord

Rows = Sequence[Mapping[str, Any]]

CONTINUE, STOP = "CONTINUE", "STOP"
"""The decisions of Tune's schedulers."""


def list_lost(records: Iterable[TrialRecord], events: Iterable[Event]) -> list[TrialRecord]:
    """Lists the trials that have started and whose events, or the last of them, are lost."""
    added, ended = set(), set()
    for event in events:
        if event.kind == "add":
            added.add(event.trial)
        elif event.kind in ENDS:
            ended.add(event.trial)
    return [
        record
        for record in records
        if record.started is not None
        and not record.final
        and (record.id not in added or (record.state == "finished" and record.id not in ended))
    ]


def rebuild(
    lost: Iterable[TrialRecord],
    rows: Mapping[str, Rows],
    events: Sequence[Event],
    metrics: Iterable[str],
) -> list[Event]:
    """Returns the events of trials whose own are lost, in the order of their times.

    Args:
        lost: The trials.
        rows: Trial id -> its epochs. The results of a trial that has not ended are left to the
            resume, which gives the scheduler every epoch up to the checkpoint.
        events: The events that are left; none is returned again.
        metrics: Names of the numbers that a scheduler reads.
    """
    names = tuple(metrics)
    left = {(event.trial, event.kind, event.epoch) for event in events}
    timed: list[tuple[float, Event]] = []
    for record in lost:
        time_s = _seconds(record.started or record.created)
        timed.append((time_s, Event("add", record.id)))
        own = rows[record.id] if record.state in ENDED else []
        for number, row in enumerate(own, start=1):
            time_s += row.get("epoch_s") or 0.0
            numbers = {name: row[name] for name in names if row.get(name) is not None}
            is_last = number == len(own)
            ended_itself = record.state == "finished" or record.ended_itself
            if not (is_last and ended_itself):
                decision = STOP if is_last and record.state == "stopped" else CONTINUE
                event = Event("result", record.id, row["epoch"], numbers, decision)
                timed.append((time_s, event))
            if is_last and record.state == "failed":
                timed.append((time_s, Event("error", record.id)))
            elif is_last:
                timed.append((time_s, Event("complete", record.id, row["epoch"], numbers)))
    timed.sort(key=lambda pair: pair[0])
    return [e for _, e in timed if (e.trial, e.kind, e.epoch) not in left]


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
