"""Forecasts the disk space of a sweep's checkpoints.

Names of a trial's checkpoints that are hard links to one file count once: `latest.pt` is the last
epoch's file, and `best.pt` is often one of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from sweeps.planning.plan import Plan
from trainable.config import CheckpointConfig

BEST_WINDOW = 0.2
"""Share of a trial's epochs, at its end, in which its best epoch is taken to be."""


@dataclass(frozen=True)
class DiskForecast:
    """Bytes of a sweep's checkpoints."""

    low: int
    high: int
    """Least and most when the sweep has finished; equal unless they depend on the results."""
    peak: int
    """Most while it runs: with `keep.trials`, running trials need space besides the kept ones."""


def forecast_disk(plan: Plan, sizes: Sequence[int]) -> DiskForecast:
    """Forecasts the bytes of all checkpoints.

    Args:
        plan: The sweep's plan.
        sizes: Bytes of one checkpoint of the first draws, at least one.
    """
    spec = plan.spec
    if not spec.training.checkpoint.enabled:
        return DiskForecast(0, 0, 0)
    keep = spec.trials if spec.keep.trials == "all" else min(spec.trials, spec.keep.trials)
    least, most = (_count_files(plan, keep, most=most) for most in (False, True))
    if keep == spec.trials:
        size = fmean(sizes)
        low, high = round(least * size), round(most * size)
        return DiskForecast(low, high, high)
    low, high = round(least * min(sizes)), round(most * max(sizes))
    running = min(plan.concurrency.trials, spec.trials - keep)
    return DiskForecast(low, high, high + round(running * most / keep * max(sizes)))


def expected_files(checkpoint: CheckpointConfig, keep_epochs: int | str, epochs: int) -> float:
    """Returns the expected number of checkpoint files of a trial after so many epochs.

    The best epoch is as likely to be any of the last `BEST_WINDOW`.

    Args:
        checkpoint: What the trial saves.
        keep_epochs: The number of `epoch_NNNN.pt` files that it keeps, or `all`.
        epochs: The number of epochs, at least 1.
    """
    numbered = range(checkpoint.save_frequency, epochs + 1, checkpoint.save_frequency)
    kept = (
        numbered if keep_epochs == "all" else numbered[max(0, len(numbered) - int(keep_epochs)) :]
    )
    files = {*kept, epochs}
    if not checkpoint.save_best:
        return len(files)
    best = range(epochs - round(BEST_WINDOW * epochs), epochs + 1)
    return len(files) + sum(epoch not in files for epoch in best) / len(best)


def _count_files(plan: Plan, trials: int, *, most: bool) -> float:
    """Counts the expected files of the trials that train longest.

    Args:
        plan: The sweep's plan.
        trials: The number of trials that keep their checkpoints, at least 1.
        most: Whether to take the longest trials if the scheduler's decisions cannot be foreseen.
    """
    checkpoint, keep_epochs = plan.spec.training.checkpoint, plan.spec.keep.epochs
    files, left = 0.0, float(trials)
    for epochs, count in sorted(_ends(plan, most=most), reverse=True):
        files += min(count, left) * expected_files(checkpoint, keep_epochs, epochs)
        left -= min(count, left)
    return files


def _ends(plan: Plan, *, most: bool) -> Iterator[tuple[int, float]]:
    """Yields (epochs, number of trials that end after so many)."""
    expectation, scheduler = plan.expectation, plan.spec.tune.scheduler
    reached = [(rung.epoch, rung.trials) for rung in expectation.rungs]
    finished = expectation.finished
    if expectation.low < expectation.high:
        reached, finished = ([], finished) if most else (reached, 0.0)
    following = [*(trials for _, trials in reached[1:]), finished]
    ends = [(epoch, n - more) for (epoch, n), more in zip(reached, following, strict=False)]
    ends.append((getattr(scheduler, "max_t", None) or plan.spec.max_epochs, finished))
    default = plan.spec.training.training.epochs
    planned = Counter(int(draw.get("training.epochs", default)) for draw in plan.draws)
    for epochs, draws in planned.items():
        share = draws / len(plan.draws)
        yield from ((min(epoch, epochs), trials * share) for epoch, trials in ends)
        yield epochs, plan.finals * share
