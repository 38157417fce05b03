"""Estimates how many epochs a scheduler lets the trials of a sweep train.

Assumptions: the draws come in random order of quality, a trial that is ahead stays ahead, all
trials are equally fast and none fails.
"""

from __future__ import annotations

import functools
import math
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sweeps.spec.schedulers import (
    ASHA,
    BOHBHyperBand,
    HyperBand,
    Median,
    asha_rungs,
    hyperband_brackets,
    hyperband_rungs,
)
from trainable.config.schema import Section

SIMULATED_TRIALS = 20_000
"""Trials of all simulated sweeps together; the error of the mean is then about 1%."""
MAX_TRIALS_PER_SIMULATION = 2_000
"""A larger sweep is simulated by one of this size."""


@dataclass(frozen=True)
class Rung:
    """An epoch after which trials are stopped."""

    epoch: int
    trials: float
    """Trials that are expected to reach it."""


@dataclass(frozen=True)
class Expectation:
    """Expected epochs of the trials of a search."""

    rungs: tuple[Rung, ...]
    """In order of epoch."""
    low: float
    """Least share of all epochs that is trained, in [0, 1]."""
    high: float
    """Largest such share; equal to `low` if the share can be estimated."""
    finished: float
    """Most trials that are expected to reach their last epoch."""


def estimate_epochs(scheduler: Section, *, trials: int, epochs: int) -> Expectation:
    """Estimates how many epochs the trials of a search train under a scheduler.

    Args:
        scheduler: The scheduler's section of the search file.
        trials: The number of trials.
        epochs: The epochs of a trial that is not stopped.
    """
    match scheduler:
        case ASHA():
            last = min(epochs, scheduler.max_t or epochs)
            return _estimate_asha(scheduler, trials, last, epochs)
        case HyperBand() | BOHBHyperBand():
            last = min(epochs, scheduler.max_t or epochs)
            return _estimate_hyperband(scheduler, trials, last, epochs)
        case Median():
            rung = Rung(scheduler.grace_period, float(trials))
            return Expectation((rung,), scheduler.grace_period / epochs, 1.0, float(trials))
    return Expectation((), 1.0, 1.0, float(trials))


def _estimate_asha(scheduler: ASHA, trials: int, last: int, epochs: int) -> Expectation:
    ladders = tuple(
        tuple(asha_rungs(scheduler, last, bracket)) for bracket in range(scheduler.brackets)
    )
    count = min(trials, MAX_TRIALS_PER_SIMULATION)
    shares = _simulate_sweeps(scheduler.reduction_factor, ladders, count, last)
    ends = {end: share * trials for end, share in shares.items()}
    return _summarize(ends, trials, last, epochs)


@functools.lru_cache
def _simulate_sweeps(
    factor: float, ladders: tuple[tuple[int, ...], ...], count: int, last: int
) -> dict[int, float]:
    """Simulates sweeps of `count` trials; returns epoch -> share of the trials ended."""
    sizes = np.array([len(ladder) for ladder in ladders])
    chances = np.exp(sizes - sizes.max())
    sweeps = max(8, SIMULATED_TRIALS // count)
    rng = np.random.default_rng(0)
    ends: Counter[int] = Counter()
    for _ in range(sweeps):
        assigned = rng.choice(len(ladders), size=count, p=chances / chances.sum())
        ends += _simulate_asha(factor, ladders, assigned, rng.random(count), last)
    return {end: number / count / sweeps for end, number in ends.items()}


def _simulate_asha(
    factor: float,
    ladders: tuple[tuple[int, ...], ...],
    assigned: np.ndarray,
    scores: np.ndarray,
    last: int,
) -> Counter[int]:
    """Simulates a sweep whose trials run one after another; returns epoch -> trials ended."""
    recorded: list[list[list[float]]] = [[[] for _ in ladder] for ladder in ladders]
    ends: Counter[int] = Counter()
    for ladder, score in zip(assigned, scores, strict=True):
        end = last
        for epoch, others in zip(ladders[ladder], recorded[ladder], strict=True):
            stops = bool(others) and score < _quantile(others, 1 - 1 / factor)
            insort(others, float(score))
            if stops:
                end = epoch
                break
        ends[end] += 1
    return ends


def _quantile(ordered: list[float], share: float) -> float:
    """Quantile of sorted values, interpolated linearly as by `numpy.percentile`."""
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _estimate_hyperband(
    scheduler: HyperBand | BOHBHyperBand, trials: int, last: int, epochs: int
) -> Expectation:
    ends: Counter[int] = Counter()
    factor = scheduler.reduction_factor
    for size, halvings, filled in _fill_brackets(scheduler, trials, last):
        room, left = size, filled
        for epoch, following in pairwise(hyperband_rungs(factor, last, halvings)):
            room = math.ceil(room / factor)
            if following > epoch:  # equal rungs are one
                ends[epoch] += max(0, left - room)
                left = min(left, room)
        ends[last] += left
    return _summarize(dict(ends), trials, last, epochs)


def _fill_brackets(
    scheduler: HyperBand | BOHBHyperBand, trials: int, last: int
) -> Iterator[tuple[int, int, int]]:
    """Yields (size, halvings, trials) of the brackets in the order in which Tune fills them."""
    factor = scheduler.reduction_factor
    order = hyperband_brackets(factor, last)
    kinds = round(math.log(last) / math.log(factor)) + 1
    if isinstance(scheduler, BOHBHyperBand):
        order.reverse()
    left = trials
    while left > 0:
        for halvings in order:
            size = math.ceil(kinds / (halvings + 1) * factor**halvings)
            if left > 0:
                yield size, halvings, min(size, left)
                left -= min(size, left)


def _summarize(ends: dict[int, float], trials: int, last: int, epochs: int) -> Expectation:
    share = sum(end * number for end, number in ends.items()) / (trials * epochs)
    rungs = tuple(
        Rung(epoch, sum(number for end, number in ends.items() if end >= epoch))
        for epoch in sorted(ends)
        if epoch < last and ends[epoch]
    )
    return Expectation(rungs, share, share, ends.get(last, 0.0))
