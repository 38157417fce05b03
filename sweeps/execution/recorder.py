"""Records Tune's events in `trial.json` and `sweep.json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.execution.observers.hooks import HookRunner
from sweeps.execution.observers.live_view import LiveView
from sweeps.execution.tune_overhead import remove_snapshots
from sweeps.results.progress import TrialProgress
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import (
    BY_HAND,
    ENDED,
    SweepRecord,
    TrialRecord,
    TrialState,
    now,
)
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import shorten_message
from sweeps.trackers.switch import trackers_of
from sweeps.trials.failures import ACCUMULATION_STEPS, describe_nan, read_batches
from sweeps.trials.pause import PauseSwitch, describe_pause, reaches_target
from trainable.artifacts.metrics import has_diverged
from trainable.artifacts.names import TENSORBOARD
from trainable.config.dotted import get_dotted
from trainable.trial_settings import SETTINGS

SWEEP_WRITE_INTERVAL_S = 2.0
"""Shortest time between writes of `sweep.json` while the sweep runs and only counts change."""

START_WRITE_DELAY_S = 0.5
"""Longest delay until a trial's start is on disk; a trial that ends sooner is written once."""

CPU_NOTICE = "note: no CUDA device in the workers: trials train on the CPU"


class RecordWriter:
    """Writes the records of a sweep, fewer times than they change.

    Args:
        layout: The sweep directory.
        sweep: The sweep's record.
        trials: Trial id -> record, shared with the trial source.
    """

    def __init__(
        self, layout: SweepLayout, sweep: SweepRecord, trials: dict[str, TrialRecord]
    ) -> None:
        self.layout = layout
        self.trials = trials
        self.sweep = sweep
        self._elapsed_before_s = sweep.elapsed_s
        self._started = time.monotonic()
        self._sweep_due: float | None = None
        """When `sweep.json` is written again; None if it is current."""
        self.unwritten: set[str] = set()
        """Trials whose `trial.json` is not current, because the disk was full."""
        self._unwritten_starts: dict[str, float] = {}
        """Trial -> when it started, if `trial.json` does not have that yet."""

    def note_start(self, record: TrialRecord) -> None:
        """Has a trial written that has just started, unless it ends first."""
        self._unwritten_starts.setdefault(record.id, time.monotonic())
        self._schedule_sweep()

    def write_trial(self, record: TrialRecord) -> None:
        """Replaces a trial's `trial.json`."""
        self._unwritten_starts.pop(record.id, None)
        self.unwritten.add(record.id)
        self.layout.write_trial(record)
        self.unwritten.remove(record.id)
        self._schedule_sweep()
        self.note_news(record)

    def note_news(self, record: TrialRecord) -> None:
        """Wakes the trackers that the sweep reports to: the trial's files have changed."""
        trackers = trackers_of(self.layout.directory)
        if trackers is not None:
            trackers.wake(record.directory)

    def write_due(self) -> None:
        """Writes the records whose delay is over."""
        time_s = time.monotonic()
        while self._unwritten_starts:
            trial_id, started = next(iter(self._unwritten_starts.items()))
            if time_s - started < START_WRITE_DELAY_S:
                break
            self.write_trial(self.trials[trial_id])
        if self._sweep_due is not None and time_s >= self._sweep_due:
            self.write_sweep()

    def write_sweep(self) -> None:
        """Replaces `sweep.json` with the current state."""
        self._sweep_due = None
        self.sweep.count_trials(self.trials.values())
        self.sweep.elapsed_s = round(self._elapsed_before_s + time.monotonic() - self._started, 1)
        self.layout.write_sweep(self.sweep)

    def _schedule_sweep(self) -> None:
        if self._sweep_due is None:
            self._sweep_due = time.monotonic() + SWEEP_WRITE_INTERVAL_S


class RecordCallback(Callback):
    """Records what happens to trials and prints a line for each that ends.

    Args:
        spec: The search file.
        writer: Writes the records.
        switch: Polled at every step; requested when the target is reached.
        view: Shows the progress of the sweep.
        progress: Trial id -> progress; trials are added when they start.
        hooks: Gets every value of the metric.
        on_end: Called when a trial has ended and is recorded.
    """

    def __init__(
        self,
        spec: SearchSpec,
        writer: RecordWriter,
        *,
        switch: PauseSwitch,
        view: LiveView,
        progress: dict[str, TrialProgress],
        hooks: HookRunner,
        on_end: Callable[[], None],
    ) -> None:
        self._saves = spec.training.checkpoint.enabled
        self._metric, self._mode = spec.tune.metric, spec.tune.mode
        self.spec = spec
        """The search file, whose settings may change while the sweep runs."""
        self._writer = writer
        self._records = writer.trials
        self._switch = switch
        self._view = view
        self._progress = progress
        self._hooks = hooks
        self._on_end = on_end
        self.stopped: Container[str] = ()
        """Trials that requests have stopped."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Polls the pause switch, redraws the view and writes records that are due."""
        del iteration, trials, info
        self._switch.poll()
        self._view.tick(self._progress.values(), pausing=self._switch.reason is not None)
        with self._switch.on_full_disk():
            self._writer.write_due()

    def announce_pause(self) -> None:
        """Prints why the sweep pauses and what happens to the running trials."""
        reason = self._switch.reason
        if reason is None or reason == "ray_died":  # printed where it is noticed
            return
        running = sum(record.state == "running" for record in self._records.values())
        print_line(
            describe_pause(reason, running, immediate=self._switch.immediate, saves=self._saves)
        )

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Records that a trial got its actor: for the first time, after a pause or for a retry."""
        del iteration, trials, info
        record = self._records[trial.trial_id]
        exploits = len(record.lineage)
        self._record_exploit(record, trial)
        record.state = "running"
        record.started = record.started or now()
        progress = self._add_progress(trial)
        progress.epochs, progress.started = trial.config["training"]["epochs"], True
        progress.waiting_since = time.monotonic()
        if len(record.lineage) > exploits:
            with self._switch.on_full_disk():  # before anything is saved under the new values
                self._writer.write_trial(record)
        else:
            self._writer.note_start(record)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Takes the metrics of an epoch; pauses the sweep when the target is reached."""
        del iteration, trials, info
        self._progress[trial.trial_id].add_epoch(result, self._metric, self._mode)
        self._writer.note_news(self._records[trial.trial_id])
        value = None if has_diverged(result) else result.get(self._metric)
        self._hooks.note(trial.trial_id, value, result.get("epoch", 0))
        if value is not None and reaches_target(self.spec, value) and self._switch.reason is None:
            print_line(f"target reached: trial {trial.trial_id}, {self._metric} {value:.4f}")
            self._switch.request("target")

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Records a trial that trained all its epochs, diverged, or was stopped."""
        del iteration, trials, info
        if self._switch.reason and trial.status == Trial.PENDING:
            return  # released by a pausing sweep; it is resumed with the sweep
        record = self._records[trial.trial_id]
        last = trial.last_result or {}
        if has_diverged(last):
            record.failures.append(describe_nan(last))
            self._end(trial, "failed")
            return
        is_done = last.get("epoch", 0) >= trial.config["training"]["epochs"]
        record.note_stop(last, by_hand=not is_done and record.id in self.stopped)
        self._end(trial, "finished" if is_done else "stopped")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Records a trial that is not retried; `RetryPolicy` has recorded its failures."""
        del iteration, trials, info
        self._end(trial, "failed")

    def _end(self, trial: Trial, state: TrialState) -> None:
        record = self._records[trial.trial_id]
        record.state, record.ended, record.held = state, now(), False
        with self._switch.on_full_disk():
            self._writer.write_trial(record)
        end_tensorboard(self._writer.layout, record)
        ended = sum(other.state in ENDED for other in self._records.values())
        epochs, total = len(str(trial.config["training"]["epochs"])), self._view.total
        text = (
            f"{ended:>{len(str(total))}}/{total}  trial {record.id} {state:<8} "
            f"at epoch {(trial.last_result or {}).get('epoch', 0):>{epochs}}"
        )
        if state == "failed":
            failure = record.failures[-1]
            text += f"  {failure.cause}: {shorten_message(failure.message)}"
        else:
            progress = self._add_progress(trial)
            text += f"  {progress.describe(self._metric) or 'no epoch was completed'}"
        if record.stopped_by is not None:
            by_hand = record.stopped_by == BY_HAND
            text += f" ({record.stop_reason if by_hand else record.stopped_by})"
        self._view.print_end(text, failed=state == "failed")
        self._on_end()

    def _add_progress(self, trial: Trial) -> TrialProgress:
        """Returns the progress of a trial, which is added if it is new."""
        record, epochs = self._records[trial.trial_id], trial.config["training"]["epochs"]
        return self._progress.setdefault(record.id, TrialProgress(record, epochs))

    def _record_exploit(self, record: TrialRecord, trial: Trial) -> None:
        """Records a PBT exploit: the trial is about to load another one's checkpoint."""
        saved = trial.latest_checkpoint_result
        if saved is None or saved.checkpoint is None:
            return
        donor = Path(saved.checkpoint.path).parent.name
        if donor == record.directory:
            return
        # It gets the donor's whole config plus the mutated keys, so other keys may be active.
        values = {key: _read_value(trial.config, key) for key in trial.config[SETTINGS]["sampled"]}
        exploit = {"epoch": saved.metrics.get("epoch", 0), "donor": donor, "values": values}
        if record.lineage[-1:] == [exploit]:  # a retry starts there again
            return
        record.lineage.append(exploit)
        record.changes.pop(ACCUMULATION_STEPS, None)  # its own, before it got the donor's config
        parts = read_batches(trial.config)[1]
        if read_batches(record.config(self.spec).to_dict())[1] != parts:
            record.changes[ACCUMULATION_STEPS] = parts


class DeviceCallback(Callback):
    """Prints a note if trials that have a share of a GPU train on the CPU."""

    def __init__(self) -> None:
        self._was_printed = False

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Prints the note after the first such epoch."""
        del iteration, trials, trial, info
        if not self._was_printed and result.get("device") == "cpu":
            print_line(CPU_NOTICE)
            self._was_printed = True


def record_end(writer: RecordWriter, switch: PauseSwitch, *, is_complete: bool) -> None:
    """Marks unended trials as paused, or stopped at the target, and the sweep accordingly.

    Args:
        writer: Writes the records.
        switch: Says why the sweep has paused, if it has.
        is_complete: Whether a sweep whose trials have all ended is finished.
    """
    reached_target = switch.reason == "target"
    if switch.reason == "disk_full":
        remove_snapshots(writer.layout.directory)  # room for the records
    unended = [record for record in writer.trials.values() if record.state not in ENDED]
    for trial in unended:
        trial.state = "stopped" if reached_target else "paused"
        trial.held = trial.held and not reached_target
    for trial in writer.trials.values():
        if trial in unended or trial.id in writer.unwritten:
            with switch.on_full_disk():
                writer.layout.write_trial(trial)
    if reached_target:
        for trial in unended:
            end_tensorboard(writer.layout, trial)
    sweep = writer.sweep
    is_finished = reached_target or (is_complete and not unended)
    sweep.state = "finished" if is_finished else "paused"
    if not is_finished or reached_target:
        sweep.reason = switch.reason or "interrupted"
    sweep.ended, sweep.pid, sweep.host = now(), None, None
    with switch.on_full_disk():
        writer.write_sweep()


def end_tensorboard(layout: SweepLayout, record: TrialRecord) -> None:
    """Marks a trial as ended on TensorBoard's HParams page, if its worker has not done so."""
    directory = layout.directory / record.directory / TENSORBOARD
    if not directory.exists():
        return
    from trainable.artifacts.tensorboard import end_session  # imports TensorBoard, which is slow

    with suppress(OSError):  # a full disk; the page then lacks the trial's end
        end_session(directory, failed=record.state == "failed")


def _read_value(config: dict[str, Any], key: str) -> Any:
    """Reads a dotted key of a trial: at the top, where schedulers change it, or nested."""
    return config[key] if key in config else get_dotted(config, key)
