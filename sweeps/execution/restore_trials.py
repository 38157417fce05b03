"""Restores a sweep's trials from its files: their states, checkpoints and past decisions.

None of Ray's own files are read. The records, metrics, checkpoints and the event log are enough,
after a kill at any moment and in a copied directory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.schedulers import TrialScheduler

from sweeps.schedulers.recording import RecordingScheduler
from sweeps.spec.settings import METRICS
from sweeps.steering.state import SteeringState
from sweeps.storage.location import download, evict
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, TrialRecord, TrialState, now
from sweeps.terminal.console import print_line
from sweeps.trials.trial import SweepTrial, restore_from, set_last_result
from trainable.artifacts.metrics import MetricsFile, has_diverged, read_rows
from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE, METRICS_FILE
from trainable.config.dotted import get_dotted
from trainable.errors import CheckpointError
from trainable.trial_settings import STOPPED_BY

Row = dict[str, Any]


@dataclass(frozen=True)
class SavedState:
    """Checkpoint from which an interrupted trial can continue."""

    checkpoint: Path
    epoch: int


def newest_checkpoint(directory: Path) -> SavedState | None:
    """Returns the newest good checkpoint of a trial, or None if it never saved one.

    Args:
        directory: The trial directory.

    Raises:
        CheckpointError: There are checkpoint files, but all of them are broken.
    """
    files = sorted((directory / CHECKPOINTS).glob("*.pt"))
    from trainable.artifacts.checkpoint import checkpoint_epoch  # torch

    latest = directory / CHECKPOINTS / LATEST_FILE
    epoch = checkpoint_epoch(download(latest))
    if epoch is not None:
        return SavedState(latest, epoch)
    good = [
        (epoch, path) for path in files if (epoch := checkpoint_epoch(download(path))) is not None
    ]
    if good:
        epoch, path = max(good)
        print_line(
            f"note: {latest} is missing or broken; continuing from {path.name} of epoch {epoch}"
        )
        return SavedState(path, epoch)
    if files:
        names = ", ".join(path.name for path in files)
        raise CheckpointError(
            f"{directory / CHECKPOINTS}: expected a good checkpoint, found none among {names}; "
            "delete them to train this trial from the start"
        )
    return None


def _has_last_exploit(record: TrialRecord, config: dict[str, Any]) -> bool:
    """Whether a checkpoint's config has the values of the trial's last exploit."""
    values = record.lineage[-1]["values"]
    try:
        return all(
            get_dotted(config, key) == value
            for key, value in values.items()
            if key not in record.changes
        )
    except (KeyError, TypeError):  # another optimizer has different keys
        return False


class TrialRestorer:
    """Finds the state of each interrupted trial and restores trials and scheduler from it.

    Args:
        layout: The sweep directory.
        records: Every trial in order of creation; those that turn out to have ended are marked.
        epochs: Trial id -> total epochs that the trial is to train.
        saves: Whether trials save checkpoints (`checkpoint.enabled`).
        metrics: Names of the numbers of an epoch that events have.

    Raises:
        CheckpointError: An interrupted trial has checkpoints, but all of them are broken.
    """

    def __init__(
        self,
        layout: SweepLayout,
        records: list[TrialRecord],
        epochs: dict[str, int],
        *,
        saves: bool = True,
        metrics: Iterable[str] = METRICS,
    ) -> None:
        self._layout = layout
        self._metrics = tuple(metrics)
        self._saves = saves
        self._records = {record.id: record for record in records}
        self._log = EventLog(layout.events_file)
        self._events = self._log.read()
        self.state = SteeringState.of(self._events)
        """The state that follows from the requests so far."""
        self._saved: dict[str, SavedState] = {}
        self._rows: dict[str, list[Row]] = {}
        for record in records:
            self._rows[record.id] = read_rows(layout.directory / record.directory / METRICS_FILE)
        unended = [record for record in records if record.state not in ENDED]
        # All are read before anything is changed: one of them may be refused.
        states = [newest_checkpoint(layout.directory / record.directory) for record in unended]
        for record, saved in zip(unended, states, strict=True):
            record.held = record.id in self.state.held
            if record.id in self.state.removed and "training.epochs" not in record.changes:
                self._end(record, "stopped")
                continue
            self._set_state(record, saved, epochs[record.id])

    @property
    def events(self) -> list[Event]:
        """The event log."""
        return self._events

    def _set_state(self, record: TrialRecord, saved: SavedState | None, epochs: int) -> None:
        """Sets the trial's state to that of its checkpoint, or marks it as ended if it had."""
        recorded = self._rows[record.id]
        if saved and any(r["epoch"] == saved.epoch and has_diverged(r) for r in recorded):
            saved = None  # earlier versions saved such a state
        if saved is None and not self._saves and recorded:
            # Nothing is left to train if its last epoch was reported before the driver died.
            state = self._find_end(record, recorded[-1]["epoch"], epochs)
            if state is not None and not has_diverged(recorded[-1]):
                self._end(record, state)
                return
        epoch = saved.epoch if saved else 0
        self._rows[record.id] = [row for row in recorded if row["epoch"] <= epoch]
        # Now and not when it runs again: a waiting trial may be ended without running.
        MetricsFile(self._layout.directory / record.directory / METRICS_FILE).truncate(epoch)
        if saved is None:
            if recorded:
                print_line(
                    f"note: trial {record.id} has no checkpoint and starts again from epoch 1"
                )
            record.lineage.clear()
            return
        self._saved[record.id] = saved
        if record.lineage:
            from trainable.artifacts.checkpoint import CONFIG, read_checkpoint  # torch

            config = read_checkpoint(saved.checkpoint)[CONFIG]
            # The driver may have died between an exploit and the first save under its values.
            while record.lineage and not _has_last_exploit(record, config):
                record.lineage.pop()
        evict(saved.checkpoint.parent)
        state = self._find_end(record, saved.epoch, epochs)
        if state is not None:
            self._end(record, state)

    def _find_end(self, record: TrialRecord, epoch: int, epochs: int) -> TrialState | None:
        """Returns the state in which a trial has ended with this epoch; None if it has not."""
        if epoch >= epochs:
            return "finished"
        if "training.epochs" in record.changes:  # reopened for more epochs
            return None
        ended_itself = any(
            row["epoch"] == epoch and row.get(STOPPED_BY) for row in self._rows[record.id]
        )
        stopped = any(
            event.trial == record.id
            and event.decision == TrialScheduler.STOP
            and event.epoch == epoch
            for event in self._events
        )
        return "stopped" if stopped or ended_itself else None

    def _end(self, record: TrialRecord, state: TrialState) -> None:
        metrics = self._rows[record.id][-1] if self._rows[record.id] else {}
        is_logged = record.id in self.state.removed or any(
            e.trial == record.id and e.kind == "complete" for e in self._events
        )
        if not is_logged:
            numbers = {
                name: metrics[name] for name in self._metrics if metrics.get(name) is not None
            }
            event = Event("complete", record.id, metrics.get("epoch", 0), numbers)
            self._log.append(event)
            self._events.append(event)
            self.state.add(event)
        by_hand = state == "stopped" and record.id in self.state.stopped
        record.note_stop(metrics, by_hand=by_hand)
        record.state, record.ended, record.held = state, record.ended or now(), False
        self._layout.write_trial(record)  # last: an ended trial is not examined again

    def restore_checkpoint(self, trial: SweepTrial) -> None:
        """Lets Tune restore a trial from its checkpoint, if it has one."""
        saved = self._saved.get(trial.trial_id)
        if saved is not None:
            restore_from(trial, saved.checkpoint, self._row(trial.trial_id, saved.epoch))

    def restore(self, trials: dict[str, SweepTrial], scheduler: RecordingScheduler) -> None:
        """Restores the state of Tune's new trials and replays the event log.

        Args:
            trials: Every recorded trial, created anew, by id.
            scheduler: A scheduler that has not been given any event yet.
        """
        ended = {id_ for id_, record in self._records.items() if record.state in ENDED}
        for id_, trial in trials.items():
            if id_ not in ended:
                self.restore_checkpoint(trial)
            elif self._rows[id_]:
                set_last_result(trial, self._rows[id_][-1])
        state = self.state
        scheduler.by_hand.restore(state.stopping, state.held, state.released)
        for line in scheduler.replay(trials, ended, self._events):
            print_line(f"note: the scheduler decides differently than before: {line}")
        for id_, trial in trials.items():
            if id_ not in ended:
                self._catch_up(trial, scheduler)
        for id_, trial in trials.items():
            if id_ not in ended and trial.is_finished():
                self._end(self._records[id_], "stopped")

    def _catch_up(self, trial: SweepTrial, scheduler: RecordingScheduler) -> None:
        """Gives the scheduler epochs that were saved before the kill but are not in the log."""
        trial_id = trial.trial_id
        logged = [e.epoch for e in self._events if e.trial == trial_id and e.kind == "result"]
        saved = self._saved.get(trial_id)
        if saved is None or trial.is_finished():
            return
        for row in self._rows[trial_id]:
            if row["epoch"] <= max(logged, default=0):
                continue
            if scheduler.catch_up(trial, row) == TrialScheduler.STOP:
                trial.set_status(trial.TERMINATED)
                return

    def _row(self, trial_id: str, epoch: int) -> Row:
        rows = [row for row in self._rows[trial_id] if row["epoch"] == epoch]
        return rows[-1] if rows else {"epoch": epoch}
