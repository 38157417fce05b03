"""Tune's events onto the layout: keeps `trial.json` and `sweep.json` current."""

from __future__ import annotations

import math
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
from sweeps.sweep_dir.layout import SweepLayout, value_at
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord, TrialState, now
from sweeps.terminal.console import print_line
from sweeps.trials.failures import describe_nan
from sweeps.trials.pause import PauseSwitch
from trainable.artifacts.names import TENSORBOARD
from trainable.trial_settings import SETTINGS

SWEEP_EVERY_S = 2.0
"""`sweep.json` is written no oftener while the sweep runs: only counts and times change."""

UNWRITTEN_S = 0.5
"""That a trial has begun is put on disk after so long, if it has not ended meanwhile."""

CPU_NOTICE = "note: no CUDA device in the workers: trials train on the CPU"


class Recorder(Callback):
    """Tune's events onto the layout.

    Args:
        layout: The sweep's directory.
        sweep: Its record.
        records: Trial id -> record, shared with the trial source.
        switch: Polled at every step.
        total: Trials the sweep has in all.
        metric: What the line of an ended trial shows.
        target: Whether a value of the metric ends the sweep.
        expects_gpu: Whether trials were given a share of a card.
        view: Shows how far the sweep is.
        running: Trial id -> how far a trial is, of those that there are.
        on_end: Called when a trial has ended and is recorded.
        hooks: Told every value of the metric.
    """

    def __init__(
        self,
        layout: SweepLayout,
        sweep: SweepRecord,
        records: dict[str, TrialRecord],
        *,
        switch: PauseSwitch,
        total: int,
        metric: str,
        target: Callable[[float], bool],
        expects_gpu: bool,
        view: LiveView,
        running: dict[str, TrialProgress],
        on_end: Callable[[], None],
        hooks: HookRunner,
    ) -> None:
        self._layout = layout
        self._sweep = sweep
        self._records = records
        self._switch = switch
        self._total = total
        self._metric = metric
        self._target = target
        self._expects_gpu = expects_gpu
        self._view = view
        self._running = running
        self._on_end = on_end
        self._hooks = hooks
        self._before_s = sweep.elapsed_s
        self._started = time.monotonic()
        self._sweep_due: float | None = None
        """When `sweep.json` is to be written again; None where it is as it should be."""
        self._begun: dict[str, float] = {}
        """Trial -> when it began, where `trial.json` does not say yet that it has."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Looks whether the sweep is to pause, and writes what has waited long enough."""
        del iteration, trials, info
        asked = self._switch.reason
        self._switch.poll()
        if self._switch.reason and not asked:
            print_line(
                f"pausing ({self._switch.reason}): running trials finish their epoch and save"
            )
        self._view.tick(self._running.values())
        self._write_waiting(time.monotonic())

    def _write_waiting(self, at: float) -> None:
        while self._begun and at - next(iter(self._begun.values())) >= UNWRITTEN_S:
            self._write(self._records[next(iter(self._begun))])
        if self._sweep_due is not None and at >= self._sweep_due:
            self.write_sweep()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial got its actor, for the first time, after a pause or for a retry."""
        del iteration, trials, info
        record = self._records[trial.trial_id]
        exploits = len(record.lineage)
        self._note_exploit(record, trial)
        record.state = "running"
        record.started = record.started or now()
        epochs = trial.config["training"]["epochs"]
        self._running.setdefault(record.id, TrialProgress(record, epochs)).epochs = epochs
        if len(record.lineage) > exploits:
            self._write(record)  # before anything is saved under the new values
        else:
            self._begun.setdefault(record.id, time.monotonic())
            self._changed()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial completed an epoch."""
        del iteration, trials, info
        self._running[trial.trial_id].note(result, self._metric, self._view.mode)
        value = result.get(self._metric)
        self._hooks.note(trial.trial_id, value, result.get("epoch", 0))
        if value is not None and self._target(value) and self._switch.reason is None:
            print_line(f"target reached: trial {trial.trial_id}, {self._metric} {value:.4f}")
            self._switch.request("target")
        if self._expects_gpu and result.get("device") == "cpu":
            print_line(CPU_NOTICE)
            self._expects_gpu = False

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial ran all its epochs, diverged, or was ended by the scheduler."""
        del iteration, trials, info
        if self._switch.reason and trial.status == Trial.PENDING:
            return  # let go by a pausing sweep; it will come back
        record = self._records[trial.trial_id]
        last = trial.last_result or {}
        if diverged(last):
            record.failures.append(describe_nan(last))
            self._end(trial, "failed")
            return
        done = last.get("epoch", 0) >= trial.config["training"]["epochs"]
        self._end(trial, "finished" if done else "stopped")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial failed for good; its failures are recorded where they are judged."""
        del iteration, trials, info
        self._end(trial, "failed")

    def _end(self, trial: Trial, state: TrialState) -> None:
        record = self._records[trial.trial_id]
        record.state, record.ended = state, now()
        self._write(record)
        end_curves(self._layout, record)
        done = sum(other.state in ENDED for other in self._records.values())
        last = trial.last_result or {}
        epochs = len(str(trial.config["training"]["epochs"]))
        text = (
            f"{done:>{len(str(self._total))}}/{self._total}  trial {record.id} {state:<8} "
            f"at epoch {last.get('epoch', 0):>{epochs}}"
        )
        if state == "failed":
            text += f"  {record.failures[-1].cause}: {record.failures[-1].message}"
        elif last.get(self._metric) is not None:
            text += f"  {self._metric} {last[self._metric]:.4f}"
        print_line(text)
        self._on_end()

    def _note_exploit(self, record: TrialRecord, trial: Trial) -> None:
        """Records a PBT exploit: the trial is about to load another one's checkpoint."""
        found = trial.latest_checkpoint_result
        if found is None or found.checkpoint is None:
            return
        donor = Path(found.checkpoint.path).parent.name
        if donor == record.directory:
            return
        # It has the donor's whole config, the mutated keys on top: other keys may be active.
        values = {key: _value(trial.config, key) for key in trial.config[SETTINGS]["sampled"]}
        taken = {"epoch": found.metrics.get("epoch", 0), "donor": donor, "values": values}
        if record.lineage[-1:] != [taken]:  # a retry begins there once more
            record.lineage.append(taken)

    def _write(self, record: TrialRecord) -> None:
        self._begun.pop(record.id, None)
        self._layout.write_trial(record)
        self._changed()

    def _changed(self) -> None:
        """`sweep.json` is behind by now."""
        if self._sweep_due is None:
            self._sweep_due = time.monotonic() + SWEEP_EVERY_S

    def write_sweep(self) -> None:
        """Replaces `sweep.json` with what is known now."""
        self._sweep_due = None
        counts = Counter(record.state for record in self._records.values())
        self._sweep.trials = dict(sorted(counts.items()))
        self._sweep.elapsed_s = round(self._before_s + time.monotonic() - self._started, 1)
        self._layout.write_sweep(self._sweep)


def end_curves(layout: SweepLayout, record: TrialRecord) -> None:
    """Says on TensorBoard's HParams page that a trial has ended, where its worker did not."""
    directory = layout.directory / record.directory / TENSORBOARD
    if not directory.exists():
        return
    from trainable.artifacts.tensorboard import end_session  # TensorBoard's, which loads slowly

    with suppress(OSError):  # of a full disk; the page does not know then how the trial has ended
        end_session(directory, failed=record.state == "failed")


def _value(config: dict[str, Any], key: str) -> Any:
    """A trial's value of a dotted key: at the top, where schedulers change it, or nested."""
    return config[key] if key in config else value_at(config, key)


def diverged(row: dict[str, Any]) -> bool:
    """Whether an epoch's losses are not finite."""
    losses = (row.get("train_loss"), row.get("val_loss"))
    return any(loss is not None and not math.isfinite(loss) for loss in losses)
