"""Records Tune's events in `trial.json` and `sweep.json`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.execution.hooks import HookRunner
from sweeps.execution.live_view import LiveView
from sweeps.results.progress import TrialProgress
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import (
    ENDED,
    SweepRecord,
    TrialRecord,
    TrialState,
    now,
)
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import shorten_message
from sweeps.trials.failures import describe_nan
from sweeps.trials.pause import PauseSwitch, describe_pause, make_target_check
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
        self._sweep = sweep
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
        counts = Counter(record.state for record in self.trials.values())
        self._sweep.trials = dict(sorted(counts.items()))
        stops = Counter(r.stopped_by for r in self.trials.values() if r.stopped_by is not None)
        self._sweep.stopped_by = dict(sorted(stops.items()))
        self._sweep.elapsed_s = round(self._elapsed_before_s + time.monotonic() - self._started, 1)
        self.layout.write_sweep(self._sweep)

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
        self._total = spec.trials
        self._saves = spec.training.checkpoint.enabled
        self._metric, self._mode = spec.tune.metric, spec.tune.mode
        self._reaches_target = make_target_check(spec)
        self._writer = writer
        self._records = writer.trials
        self._switch = switch
        self._view = view
        self._progress = progress
        self._hooks = hooks
        self._on_end = on_end

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
        epochs = trial.config["training"]["epochs"]
        progress = self._progress.setdefault(record.id, TrialProgress(record, epochs))
        progress.epochs, progress.started = epochs, True
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
        value = None if has_diverged(result) else result.get(self._metric)
        self._hooks.note(trial.trial_id, value, result.get("epoch", 0))
        if value is not None and self._reaches_target(value) and self._switch.reason is None:
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
        record.note_stop(last)
        self._end(trial, "finished" if is_done else "stopped")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Records a trial that is not retried; `RetryPolicy` has recorded its failures."""
        del iteration, trials, info
        self._end(trial, "failed")

    def _end(self, trial: Trial, state: TrialState) -> None:
        record = self._records[trial.trial_id]
        record.state, record.ended = state, now()
        with self._switch.on_full_disk():
            self._writer.write_trial(record)
        end_tensorboard(self._writer.layout, record)
        ended = sum(other.state in ENDED for other in self._records.values())
        epochs = len(str(trial.config["training"]["epochs"]))
        text = (
            f"{ended:>{len(str(self._total))}}/{self._total}  trial {record.id} {state:<8} "
            f"at epoch {(trial.last_result or {}).get('epoch', 0):>{epochs}}"
        )
        if state == "failed":
            failure = record.failures[-1]
            text += f"  {failure.cause}: {shorten_message(failure.message)}"
        elif (progress := self._progress.get(record.id)) is not None:
            text += f"  {progress.describe(self._metric) or 'no epoch was completed'}"
        if record.stopped_by is not None:
            text += f" ({record.stopped_by})"
        print_line(text)
        self._on_end()

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
        if record.lineage[-1:] != [exploit]:  # a retry starts there again
            record.lineage.append(exploit)


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
