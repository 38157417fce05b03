"""Carries out requests to a sweep that no driver runs; the next `sweep resume` follows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from sweeps.results.stored_spec import open_sweep, read_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.additions import added_configurations, is_retried
from sweeps.steering.control import changed_spec
from sweeps.steering.inbox import Effect, Inbox
from sweeps.steering.request import Judgement, Verb
from sweeps.steering.state import SteeringState
from sweeps.steering.view import SweepView
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, TrialRecord, now
from trainable.atomic_files import write_text
from trainable.config.yaml_reader import dump_yaml


class OfflineSweep:
    """A sweep without a driver; this process holds its lock.

    Args:
        directory: The sweep directory.

    Raises:
        SweepError: A record or the log cannot be read.
        ConfigError: The search file is broken.
    """

    def __init__(self, directory: Path) -> None:
        complete_settings(directory)
        self._layout = SweepLayout(directory)
        spec, records = open_sweep(directory)
        state = SteeringState.of(EventLog(self._layout.events_file).read())
        self._log = EventLog(self._layout.events_file, state.add)
        self._view = SweepView(directory, spec, {r.id: r for r in records}, state)

    def take_requests(self) -> None:
        """Judges the requests that are waiting, carries them out and answers them."""
        effects: Mapping[Verb, Effect] = {
            "stop": self._stop,
            "pause": self._hold,
            "resume": self._hold,
            "set": self._set,
            "add": self._reopen,
            "retry": self._reopen,
        }
        inbox = Inbox(self._layout.directory, self._log, lambda: self._view, effects)
        try:
            inbox.take_all()
        finally:
            self._log.close()

    def _stop(self, judgement: Judgement) -> None:
        record = self._view.records[judgement.trial or ""]
        self._log.append(Event("remove", record.id))
        record.note_stop({}, by_hand=True)
        record.state, record.ended, record.held = "stopped", now(), False
        self._layout.write_trial(record)
        self._write_counts()

    def _hold(self, judgement: Judgement) -> None:
        record = self._view.records[judgement.trial or ""]
        record.held = record.id in self._view.state.held
        self._layout.write_trial(record)

    def _reopen(self, judgement: Judgement) -> None:
        del judgement  # the state has it
        complete_additions(self._layout, self._view.state, self._view.records.values())

    def _set(self, judgement: Judgement) -> None:
        write_settings(self._layout, self._layout.read_sweep(), judgement)
        spec = changed_spec(self._view.spec, judgement.values)
        self._view = replace(self._view, spec=spec)

    def _write_counts(self) -> None:
        sweep = self._layout.read_sweep()
        sweep.count_trials(self._view.records.values())
        self._layout.write_sweep(sweep)


def write_settings(layout: SweepLayout, sweep: SweepRecord, judgement: Judgement) -> None:
    """Writes the settings of an accepted `set` into `search.yaml`.

    Args:
        layout: The sweep directory.
        sweep: The sweep's record, which notes it.
        judgement: The judgement.
    """
    recorded, _ = read_search(layout.directory)
    write_search(layout, changed_spec(recorded, judgement.values), sweep)
    sweep.settings = judgement.id
    layout.write_sweep(sweep)


def write_search(layout: SweepLayout, spec: SearchSpec, sweep: SweepRecord) -> None:
    """Replaces `search.yaml`."""
    write_text(layout.search_file, dump_yaml({**spec.to_dict(), "name": sweep.name}))


def complete_settings(directory: Path) -> None:
    """Writes the settings of the last `set` if its driver was killed before it had.

    The caller holds the sweep's lock.
    """
    layout = SweepLayout(directory)
    state = SteeringState.of(EventLog(layout.events_file).read_requests())
    if state.last_set is None:
        return
    sweep = layout.read_sweep()
    if sweep.settings != state.last_set.id:
        write_settings(layout, sweep, state.last_set)


def complete_additions(
    layout: SweepLayout, state: SteeringState, records: Collection[TrialRecord]
) -> None:
    """Marks retried trials as paused, and notes how many configurations were added.

    The caller holds the sweep's lock. A second call changes nothing.

    Args:
        layout: The sweep directory.
        state: The state after all requests.
        records: Every trial.
    """
    by_id = {record.id: record for record in records}
    reopened = False
    for judgement in state.judgements.values():
        record = by_id.get(judgement.trial or "")
        is_retry = judgement.accepted and judgement.verb == "retry"
        if is_retry and record is not None and is_retried(judgement, record):
            record.reopen(judgement.values["failures"])
            layout.write_trial(record)
            reopened = True
    sweep, added = layout.read_sweep(), len(added_configurations(state))
    if sweep.added == added and not reopened:
        return
    sweep.added = added
    sweep.count_trials(records)
    if sweep.state == "finished":
        sweep.state, sweep.reason = "paused", None
    layout.write_sweep(sweep)
