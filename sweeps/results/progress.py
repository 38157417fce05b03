"""How far a running sweep has come, as numbers. Needs neither Ray nor a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.formatting import format_duration

"""Of a time: name, seconds, and the number from which on the next one is taken."""


@dataclass
class TrialProgress:
    """What is known of a trial while the sweep runs."""

    record: TrialRecord
    epochs: int
    """That it is to train in all."""
    row: dict[str, Any] = field(default_factory=dict)
    """Metrics of the last one completed."""
    best: float | None = None
    """The best metric so far."""
    measured: int = 0
    """Epochs that have been timed."""
    spent_s: float = 0.0
    """Seconds that these took."""

    @property
    def epoch(self) -> int:
        """The last one completed."""
        return int(self.row.get("epoch", 0))

    def note(self, row: dict[str, Any], metric: str, mode: str) -> None:
        """Takes in the metrics of an epoch."""
        self.row = row
        if row.get("epoch_s") is not None:
            self.measured += 1
            self.spent_s += float(row["epoch_s"])
        value = row.get(metric)
        if value is not None and math.isfinite(value):
            better = max if mode == "max" else min
            self.best = float(value) if self.best is None else better(self.best, float(value))


@dataclass(frozen=True)
class SweepProgress:
    """A sweep as a whole at one moment."""

    counts: dict[str, int]
    """State -> number of trials; `pending` counts those that are still to be made, too."""
    total: int
    best: tuple[str, float] | None
    """Id and metric of the best trial so far."""
    left_s: tuple[float, float] | None
    """Seconds left, at least and at most; None as long as no epoch has been measured."""
    saved: int
    """Epochs that trials ended early have not run."""

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(number for state, number in self.counts.items() if state in ENDED)


def compute_progress(
    trials: Iterable[TrialProgress], *, total: int, epochs: int, slots: int, mode: str
) -> SweepProgress:
    """Counts and estimates.

    Args:
        trials: Those that have been made.
        total: That the sweep is to have.
        epochs: That a trial which is still to be made would run.
        slots: Trials at once.
        mode: `max` or `min`, of the metric.
    """
    known = list(trials)
    counts = Counter(trial.record.state for trial in known)
    counts["pending"] += max(0, total - len(known))
    stopped = [trial for trial in known if trial.record.state == "stopped"]
    return SweepProgress(
        counts={state: number for state, number in counts.items() if number},
        total=total,
        best=_best(known, mode),
        left_s=_left(known, max(0, total - len(known)), epochs, slots),
        saved=sum(trial.epochs - trial.epoch for trial in stopped),
    )


def _best(trials: list[TrialProgress], mode: str) -> tuple[str, float] | None:
    found = [(trial.record.id, trial.best) for trial in trials if trial.best is not None]
    if not found:
        return None
    return (max if mode == "max" else min)(found, key=lambda item: item[1])


def _left(
    trials: list[TrialProgress], unmade: int, epochs: int, slots: int
) -> tuple[float, float] | None:
    """Epochs left x seconds an epoch / trials at once.

    At most: every trial runs to its end. At least: those not ended yet run, on average, the share
    of their epochs that the ended ones did.
    """
    measured = sum(trial.measured for trial in trials)
    if not measured:
        return None
    mean_s = sum(trial.spent_s for trial in trials) / measured
    ended = [trial for trial in trials if trial.record.state in ENDED and trial.epochs]
    share = fmean(trial.epoch / trial.epochs for trial in ended) if ended else 1.0
    live = [trial for trial in trials if trial.record.state not in ENDED]
    most = unmade * epochs + sum(trial.epochs - trial.epoch for trial in live)
    least = unmade * epochs * share + sum(
        max(0.0, trial.epochs * share - trial.epoch) for trial in live
    )
    at_once = max(1, min(slots, unmade + len(live)))
    return least * mean_s / at_once, most * mean_s / at_once


def time_left(left: tuple[float, float] | None) -> str:
    """What is left of a sweep, at least and at most; nothing if that is not known."""
    if left is None:
        return ""
    least, most = map(format_duration, left)
    return f", {least} left" if least == most else f", {least} to {most} left"


def describe_progress(found: SweepProgress, elapsed_s: float, metric: str) -> list[str]:
    """What there is to say of the sweep: counts, best so far, times, epochs saved."""
    order = ("running", "paused", "failed")
    states = [f"{found.counts[state]} {state}" for state in order if found.counts.get(state)]
    said = [", ".join([f"{found.ended}/{found.total} done", *states])]
    if found.best is not None:
        said.append(f"best so far {metric} {found.best[1]:.4f} ({found.best[0]})")
    said.append(f"{format_duration(elapsed_s)} so far{time_left(found.left_s)}")
    if found.saved:
        said.append(f"{found.saved} epochs saved")
    return said


def join_parts(said: list[str], width: int) -> list[str]:
    """Parts on as few lines as there must be; none is broken for as long as it fits by itself."""
    lines = said[:1]
    for part in said[1:]:
        longer = f"{lines[-1]}  {part}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
