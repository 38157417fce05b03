"""Computes how far a running sweep is, as numbers. Needs neither Ray nor a terminal."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from sweeps.results.trial_results import ResultReader, inherited_row
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.formatting import count_of, format_duration, format_metric
from trainable.artifacts.metrics import is_scored

_changes = itertools.count(1)


@dataclass
class TrialProgress:
    """A trial's progress while the sweep runs."""

    record: TrialRecord
    epochs: int
    """Epochs that it trains in total."""
    row: dict[str, Any] = field(default_factory=dict)
    """Metrics of the last completed epoch."""
    best: float | None = None
    """The best metric so far."""
    best_epoch: int = 0
    """The epoch that has it."""
    started: bool = False
    """Whether a worker has started it since the driver has."""
    changed: int = 0
    """The larger, the more recent its last epoch is among those of all trials."""
    timed_epochs: int = 0
    timed_s: float = 0.0
    """Seconds that the timed epochs took."""
    waiting_since: float = field(default_factory=time.monotonic)
    """When its worker started or its last epoch came, on the monotonic clock."""

    @property
    def epoch(self) -> int:
        """The last completed epoch."""
        return int(self.row.get("epoch", 0))

    def describe(self, metric: str) -> str | None:
        """Returns the best and the last metric as text; None if no epoch has a finite one."""
        if self.best is None:
            return None
        last = "" if self.best_epoch == self.epoch else f", last {format_metric(self.row, metric)}"
        return f"best {metric} {self.best:.4f} at epoch {self.best_epoch}{last}"

    def add_epoch(self, row: dict[str, Any], metric: str, mode: str) -> None:
        """Adds the metrics of a completed epoch."""
        self.row = row
        self.changed = next(_changes)
        self.waiting_since = time.monotonic()
        if row.get("epoch_s") is not None:
            self.timed_epochs += 1
            self.timed_s += float(row["epoch_s"])
        sign = 1 if mode == "max" else -1
        for candidate in (inherited_row([row], metric, mode), row):
            if candidate is None or not is_scored(candidate, metric):
                continue
            value = float(candidate[metric])
            if self.best is None or sign * value > sign * self.best:
                self.best, self.best_epoch = value, int(candidate.get("epoch", 0))


SILENT_S, SILENT_EPOCHS = 120.0, 3
"""A running trial is said to be silent after this time, and this many of its epochs."""


def read_progress(
    reader: ResultReader, records: Iterable[TrialRecord], spec: SearchSpec
) -> dict[str, TrialProgress]:
    """Reads the progress of recorded trials from their files.

    Args:
        reader: Reads the sweep's trials.
        records: The trials.
        spec: The sweep's search file.

    Returns:
        Trial id -> progress.
    """
    progress = {}
    for record in records:
        trial = TrialProgress(record, record.config(spec).training.epochs)
        for row in reader.read(record).rows:
            trial.add_epoch(row, spec.tune.metric, spec.tune.mode)
        progress[record.id] = trial
    return progress


def describe_silent(trials: Iterable[TrialProgress], now: float) -> str | None:
    """Returns a text on running trials without an epoch for long; None if there are none.

    Args:
        trials: The trials created so far.
        now: The time on the monotonic clock.
    """
    silent = []
    for trial in trials:
        epoch_s = trial.timed_s / trial.timed_epochs if trial.timed_epochs else 0.0
        waiting_s = now - trial.waiting_since
        is_running = trial.record.state == "running" and trial.started
        if is_running and waiting_s > max(SILENT_S, SILENT_EPOCHS * epoch_s):
            silent.append((waiting_s, trial.record.id))
    if not silent:
        return None
    waiting_s, longest = max(silent)
    others = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
    return f"no epoch for {waiting_s / 60:.0f} min: {longest}{others}"


@dataclass(frozen=True)
class SweepProgress:
    """A sweep's progress at one moment."""

    counts: dict[str, int]
    """State -> number of trials; `pending` includes trials that are not created yet."""
    total: int
    best: tuple[str, float] | None
    """(id, metric) of the best trial so far."""
    left_s: tuple[float, float] | None
    """(least, most) seconds left; None until an epoch has been timed."""
    saved: int
    """Epochs that trials stopped early did not train."""
    started: int
    """Trials that a worker has started since the driver has."""
    workers: int
    """Trials that run concurrently once all workers have started."""

    @property
    def ended(self) -> int:
        """Number of trials that have ended."""
        return sum(number for state, number in self.counts.items() if state in ENDED)


def compute_progress(
    trials: Iterable[TrialProgress], *, total: int, epochs: int, slots: int, mode: str
) -> SweepProgress:
    """Counts trials, finds the best one and estimates the time left.

    Args:
        trials: The trials created so far.
        total: Number of trials when the sweep is complete.
        epochs: Epochs of a trial that is not created yet.
        slots: Number of trials that run concurrently.
        mode: The metric's mode, `max` or `min`.
    """
    created = list(trials)
    to_create = max(0, total - len(created))
    counts = Counter(trial.record.state for trial in created)
    counts["pending"] += to_create
    stopped = [trial for trial in created if trial.record.state == "stopped"]
    started = sum(trial.started for trial in created)
    live = sum(trial.started or trial.record.state not in ENDED for trial in created)
    return SweepProgress(
        counts={state: number for state, number in counts.items() if number},
        total=total,
        best=_find_best(created, mode),
        left_s=_estimate_left(created, to_create, epochs, slots),
        saved=sum(trial.epochs - trial.epoch for trial in stopped),
        started=started,
        workers=min(slots, live + to_create),
    )


def _find_best(trials: list[TrialProgress], mode: str) -> tuple[str, float] | None:
    scores = [(trial.record.id, trial.best) for trial in trials if trial.best is not None]
    if not scores:
        return None
    return (max if mode == "max" else min)(scores, key=lambda item: item[1])


def _estimate_left(
    trials: list[TrialProgress], to_create: int, epochs: int, slots: int
) -> tuple[float, float] | None:
    """Returns (least, most) seconds left: epochs left x seconds per epoch / concurrent trials.

    At most, every trial trains all its epochs. At least, the other trials train the same average
    share of their epochs as the ended ones.
    """
    timed_epochs = sum(trial.timed_epochs for trial in trials)
    if not timed_epochs:
        return None
    epoch_s = sum(trial.timed_s for trial in trials) / timed_epochs
    ended = [trial for trial in trials if trial.record.state in ENDED and trial.epochs]
    share = fmean(trial.epoch / trial.epochs for trial in ended) if ended else 1.0
    live = [trial for trial in trials if trial.record.state not in ENDED]
    most = to_create * epochs + sum(trial.epochs - trial.epoch for trial in live)
    least = to_create * epochs * share + sum(
        max(0.0, trial.epochs * share - trial.epoch) for trial in live
    )
    concurrent = max(1, min(slots, to_create + len(live)))
    return least * epoch_s / concurrent, most * epoch_s / concurrent


def format_time_left(left_s: tuple[float, float] | None) -> str:
    """Returns `, 2 min to 5 min left`; empty if the time is not known."""
    if left_s is None:
        return ""
    least, most = map(format_duration, left_s)
    return f", {least} left" if least == most else f", {least} to {most} left"


def describe_progress(
    progress: SweepProgress, elapsed_s: float, metric: str, *, pausing: bool = False
) -> list[str]:
    """Returns the progress as parts of text: counts, best trial so far, times, epochs saved.

    While workers start for the first time, the parts begin with how many have.
    """
    order = ("running", "paused", "failed")
    states = [f"{progress.counts[state]} {state}" for state in order if progress.counts.get(state)]
    parts = [", ".join([f"{progress.ended}/{progress.total} done", *states])]
    if pausing:
        parts.insert(0, "pausing")
    elif progress.started < progress.workers:
        starting = f"starting workers {progress.started}/{progress.workers}"
        parts = [starting, *parts] if progress.ended else [starting]
    if progress.best is not None:
        trial, value = progress.best
        parts.append(f"best so far {metric} {value:.4f} ({trial})")
    parts.append(f"{format_duration(elapsed_s)} so far{format_time_left(progress.left_s)}")
    if progress.saved:
        parts.append(f"{count_of(progress.saved, 'epoch')} saved by early stopping")
    return parts


def join_parts(parts: list[str], width: int) -> list[str]:
    """Joins parts of text into as few lines as possible; a part is never broken.

    Args:
        parts: At least one text.
        width: Columns of a line; only a part that is longer by itself exceeds it.
    """
    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]}  {part}"
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines
