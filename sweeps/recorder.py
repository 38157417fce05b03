"""Writes what happens to each trial into its `trial.json`, and says it in one line."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.console import say
from sweeps.layout import ENDED, SweepLayout, SweepRecord, TrialRecord, TrialState, now


class Recorder(Callback):  # type: ignore[misc]
    """Tune's events onto the layout.

    Args:
        layout: The sweep's directory.
        sweep: Its record; counts are kept current.
        records: Trial id -> record, shared with the trial source.
        total: Trials the sweep has in all.
        metric: What the line of an ended trial shows.
        cpu_notice: Said once if a trial that was given a GPU share trains on the CPU.
    """

    def __init__(
        self,
        layout: SweepLayout,
        sweep: SweepRecord,
        records: dict[str, TrialRecord],
        *,
        total: int,
        metric: str,
        cpu_notice: str | None,
    ) -> None:
        self._layout = layout
        self._sweep = sweep
        self._records = records
        self._total = total
        self._metric = metric
        self._cpu_notice = cpu_notice

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial got its actor."""
        del iteration, trials, info
        record = self._records[trial.trial_id]
        record.state = "running"
        record.started = record.started or now()
        self._write(record)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial completed an epoch."""
        del iteration, trials, trial, info
        if self._cpu_notice and result.get("device") == "cpu":
            say(self._cpu_notice)
            self._cpu_notice = None

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial ran all its epochs, or the scheduler ended it."""
        del iteration, trials, info
        epochs = trial.config["training"]["epochs"]
        last = trial.last_result or {}
        self._end(trial, "finished" if last.get("epoch", 0) >= epochs else "stopped")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial failed for good."""
        del iteration, trials, info
        error = trial.get_error()
        text = str(error or "").strip()
        self._records[trial.trial_id].error = {
            "type": type(error).__name__,
            "message": text.splitlines()[-1] if text else "unknown",
            "traceback": text,
            "epoch": (trial.last_result or {}).get("epoch", 0),
        }
        self._end(trial, "failed")

    def _end(self, trial: Trial, state: TrialState) -> None:
        record = self._records[trial.trial_id]
        record.state, record.ended = state, now()
        self._write(record)
        done = sum(other.state in ENDED for other in self._records.values())
        last = trial.last_result or {}
        text = f"{done}/{self._total}  trial {record.id} {state} at epoch {last.get('epoch', 0)}"
        if last.get(self._metric) is not None:
            text += f"  {self._metric} {last[self._metric]:.4f}"
        if record.error is not None:
            text += f"  {record.error['message']}"
        say(text)

    def _write(self, record: TrialRecord) -> None:
        self._layout.write_trial(record)
        counts = Counter(other.state for other in self._records.values())
        self._sweep.trials = dict(sorted(counts.items()))
        self._layout.write_sweep(self._sweep)
