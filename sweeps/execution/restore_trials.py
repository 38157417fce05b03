"""Brings a sweep's trials back from its files: which state, which checkpoint, what was decided.

Nothing of Ray's own is read: the records, the metrics, the checkpoints and the event log are
enough, after a kill at any moment and in a copied directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.schedulers import TrialScheduler

from sweeps.schedulers.recording import RecordingScheduler
from sweeps.spec.settings import METRICS
from sweeps.storage.location import bring, let_go
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout, value_at
from sweeps.sweep_dir.records import ENDED, TrialRecord, TrialState, now
from sweeps.terminal.console import print_line
from sweeps.trials.trial import SweepTrial, continue_from, show_result
from trainable.artifacts.metrics import MetricsFile, read_rows
from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE, METRICS_FILE
from trainable.errors import CheckpointError

Row = dict[str, Any]


@dataclass(frozen=True)
class SavedState:
    """Where an interrupted trial can be taken up again."""

    checkpoint: Path
    epoch: int


def newest_checkpoint(directory: Path) -> SavedState | None:
    """The newest good checkpoint of a trial's directory, or None if it never saved one.

    Args:
        directory: The trial's.

    Raises:
        CheckpointError: There are checkpoint files, and none of them is good.
    """
    files = sorted((directory / CHECKPOINTS).glob("*.pt"))
    from trainable.artifacts.checkpoint import checkpoint_epoch  # torch

    latest = directory / CHECKPOINTS / LATEST_FILE
    epoch = checkpoint_epoch(bring(latest))
    if epoch is not None:
        return SavedState(latest, epoch)
    good = [
        (found, path) for path in files if (found := checkpoint_epoch(bring(path))) is not None
    ]
    if good:
        epoch, path = max(good)
        print_line(
            f"note: {latest} is missing or broken; going on from {path.name} of epoch {epoch}"
        )
        return SavedState(path, epoch)
    if files:
        names = ", ".join(path.name for path in files)
        raise CheckpointError(
            f"{directory / CHECKPOINTS}: expected a good checkpoint, found none among {names}; "
            "delete them to train this trial from the start"
        )
    return None


def _in_force(record: TrialRecord, config: dict[str, Any]) -> bool:
    """Whether a checkpoint's config is that of the trial's last exploit."""
    values = record.lineage[-1]["values"]
    try:
        return all(
            value_at(config, key) == value
            for key, value in values.items()
            if key not in record.changes
        )
    except (KeyError, TypeError):  # another optimizer has other keys
        return False


class Restoration:
    """The interrupted trials of a sweep and the state each goes on from.

    Args:
        layout: The sweep's directory.
        records: Every trial, in order of creation; those that turn out to have ended are marked.
        epochs: Trial id -> the epochs it is to train in all.

    Raises:
        CheckpointError: An interrupted trial has checkpoints, and none of them is good.
    """

    def __init__(
        self, layout: SweepLayout, records: list[TrialRecord], epochs: dict[str, int]
    ) -> None:
        self._layout = layout
        self._records = {record.id: record for record in records}
        self._log = EventLog(layout.events_file)
        self._events = self._log.read()
        self._saved: dict[str, SavedState] = {}
        self._rows: dict[str, list[Row]] = {}
        for record in records:
            self._rows[record.id] = read_rows(layout.directory / record.directory / METRICS_FILE)
            if record.state not in ENDED:
                self._find_state(record, epochs[record.id])

    def _find_state(self, record: TrialRecord, epochs: int) -> None:
        """Looks up the trial's checkpoint, and whether it had in fact come to its end."""
        saved = newest_checkpoint(self._layout.directory / record.directory)
        recorded, epoch = self._rows[record.id], saved.epoch if saved else 0
        self._rows[record.id] = [row for row in recorded if row["epoch"] <= epoch]
        # Here, not when it runs again: a waiting trial may be ended without that.
        MetricsFile(self._layout.directory / record.directory / METRICS_FILE).truncate(epoch)
        if saved is None:
            if recorded:
                print_line(f"note: trial {record.id} has no checkpoint and begins anew")
            record.lineage.clear()
            return
        self._saved[record.id] = saved
        if record.lineage:
            from trainable.artifacts.checkpoint import CONFIG, read_checkpoint  # torch

            config = read_checkpoint(saved.checkpoint)[CONFIG]
            # The sweep may have ended between an exploit and the first save under its values.
            while record.lineage and not _in_force(record, config):
                record.lineage.pop()
        let_go(saved.checkpoint.parent)
        stopped = any(
            event.trial == record.id
            and event.decision == TrialScheduler.STOP
            and event.epoch == saved.epoch
            and "training.epochs" not in record.changes  # asked to go on
            for event in self._events
        )
        if saved.epoch >= epochs:
            self._end(record, "finished")
        elif stopped:
            self._end(record, "stopped")

    def _end(self, record: TrialRecord, state: TrialState) -> None:
        metrics = self._rows[record.id][-1] if self._rows[record.id] else {}
        known = any(e.trial == record.id and e.kind == "complete" for e in self._events)
        if not known:
            numbers = {name: metrics[name] for name in METRICS if metrics.get(name) is not None}
            event = Event("complete", record.id, metrics.get("epoch", 0), numbers)
            self._log.append(event)
            self._events.append(event)
        record.state, record.ended = state, record.ended or now()
        self._layout.write_trial(record)  # last: of an ended trial nothing is looked up again

    def rebuild(self, trials: dict[str, SweepTrial], scheduler: RecordingScheduler) -> None:
        """Gives Tune's new trials their past and the scheduler its memory.

        Args:
            trials: Every recorded trial as Tune's, by id.
            scheduler: Has been told nothing yet.
        """
        ended = {id_ for id_, record in self._records.items() if record.state in ENDED}
        for id_, trial in trials.items():
            if id_ in self._saved and id_ not in ended:
                saved = self._saved[id_]
                continue_from(trial, saved.checkpoint, self._row(id_, saved.epoch))
            elif id_ in ended and self._rows[id_]:
                show_result(trial, self._rows[id_][-1])
        for line in scheduler.replay(trials, ended, self._events):
            print_line(f"note: the scheduler decides otherwise than before: {line}")
        for id_, trial in trials.items():
            if id_ not in ended:
                self._catch_up(trial, scheduler)
        for id_, trial in trials.items():
            if id_ not in ended and trial.is_finished():
                self._end(self._records[id_], "stopped")

    def _catch_up(self, trial: SweepTrial, scheduler: RecordingScheduler) -> None:
        """Tells the scheduler epochs that were saved but, at the kill, not yet told."""
        told = [e.epoch for e in self._events if e.trial == trial.trial_id and e.kind == "result"]
        saved = self._saved.get(trial.trial_id)
        if saved is None or trial.is_finished():
            return
        for row in self._rows[trial.trial_id]:
            if row["epoch"] <= max(told, default=0):
                continue
            if scheduler.catch_up(trial, row) == TrialScheduler.STOP:
                trial.set_status(trial.TERMINATED)
                return

    def _row(self, trial_id: str, epoch: int) -> Row:
        rows = [row for row in self._rows[trial_id] if row["epoch"] == epoch]
        return rows[-1] if rows else {"epoch": epoch}
