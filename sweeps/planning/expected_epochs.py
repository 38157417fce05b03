"""How many epochs a scheduler lets a sweep run: an expectation, before anything has run.

Taken for granted: the draws come in random order of quality, a trial that is ahead stays ahead,
all trials are equally fast and none fails.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sweeps.spec.schedulers import ASHA, BOHBHyperBand, HyperBand, Median, asha_rungs
from trainable.config.schema import Section

SIMULATED = 20_000
"""Trials of all simulated sweeps together; the mean is then good to about a percent."""
MOST_TRIALS = 2_000
"""A larger sweep is simulated by one of this size."""


@dataclass(frozen=True)
class Rung:
    """An epoch after which trials are ended."""

    epoch: int
    trials: float
    """How many are expected to come so far."""


@dataclass(frozen=True)
class Expectation:
    """What is to be expected of the trials of a search."""

    rungs: tuple[Rung, ...]
    """In order of epoch."""
    low: float
    """Share of all epochs, in [0, 1], that is run at least."""
    high: float
    """At most. Both are the same where an expectation can be given."""
    finished: float
    """Trials that are expected to come to their last epoch; at most."""


def expected(scheduler: Section, *, trials: int, epochs: int) -> Expectation:
    """What a scheduler is expected to do to a search.

    Args:
        scheduler: Its section of the search file.
        trials: How many there are.
        epochs: That each of them would run.
    """
    match scheduler:
        case ASHA():
            last = min(epochs, scheduler.max_t or epochs)
            return _of_asha(scheduler, trials, last, epochs)
        case HyperBand() | BOHBHyperBand():
            last = min(epochs, scheduler.max_t or epochs)
            return _of_hyperband(scheduler, trials, last, epochs)
        case Median():
            rung = Rung(scheduler.grace_period, float(trials))
            return Expectation((rung,), scheduler.grace_period / epochs, 1.0, float(trials))
    return Expectation((), 1.0, 1.0, float(trials))


def _of_asha(scheduler: ASHA, trials: int, last: int, epochs: int) -> Expectation:
    ladders = [asha_rungs(scheduler, last, s) for s in range(scheduler.brackets)]
    sizes = np.array([len(ladder) for ladder in ladders])
    chances = np.exp(sizes - sizes.max())
    count = min(trials, MOST_TRIALS)
    sweeps = max(8, SIMULATED // count)
    rng = np.random.default_rng(0)
    ends: Counter[int] = Counter()
    for _ in range(sweeps):
        chosen = rng.choice(len(ladders), size=count, p=chances / chances.sum())
        ends += _asha_ends(scheduler.reduction_factor, ladders, chosen, rng.random(count), last)
    scale = trials / count / sweeps
    return _summed({end: number * scale for end, number in ends.items()}, trials, last, epochs)


def _asha_ends(
    factor: float,
    ladders: list[list[int]],
    chosen: np.ndarray,
    scores: np.ndarray,
    last: int,
) -> Counter[int]:
    """Epoch -> trials that end there, in one sweep whose trials come one after the other."""
    recorded: list[list[list[float]]] = [[[] for _ in ladder] for ladder in ladders]
    ends: Counter[int] = Counter()
    for ladder, score in zip(chosen, scores, strict=True):
        end = last
        for epoch, known in zip(ladders[ladder], recorded[ladder], strict=True):
            stops = bool(known) and score < _quantile(known, 1 - 1 / factor)
            insort(known, float(score))
            if stops:
                end = epoch
                break
        ends[end] += 1
    return ends


def _quantile(ordered: list[float], share: float) -> float:
    """As `numpy.percentile`, of values that are in order."""
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _of_hyperband(
    scheduler: HyperBand | BOHBHyperBand, trials: int, last: int, epochs: int
) -> Expectation:
    ends: Counter[int] = Counter()
    for size, first, halvings, filled in _brackets(scheduler, trials, last):
        room, epoch, alive = size, first, filled
        for _ in range(halvings):
            room = math.ceil(room / scheduler.reduction_factor)
            ends[epoch] += max(0, alive - room)
            alive = min(alive, room)
            epoch = int(min(epoch * scheduler.reduction_factor, last))
        ends[epoch] += alive
    return _summed(dict(ends), trials, last, epochs)


def _brackets(
    scheduler: HyperBand | BOHBHyperBand, trials: int, last: int
) -> Iterator[tuple[int, int, int, int]]:
    """Size, first rung, halvings and trials of one bracket after the other, as Tune fills them."""
    factor = scheduler.reduction_factor
    kinds = int(np.round(np.log(last) / np.log(factor))) + 1
    order = list(range(kinds))
    if isinstance(scheduler, BOHBHyperBand):
        order.reverse()
    left = trials
    while left > 0:
        for s in order:
            size, first = math.ceil(kinds / (s + 1) * factor**s), int(last * factor**-s)
            if first and left > 0:
                yield size, first, s, min(size, left)
                left -= min(size, left)


def _summed(ends: dict[int, float], trials: int, last: int, epochs: int) -> Expectation:
    share = sum(end * number for end, number in ends.items()) / (trials * epochs)
    rungs = tuple(
        Rung(epoch, sum(number for end, number in ends.items() if end >= epoch))
        for epoch in sorted(ends)
        if epoch < last and ends[epoch]
    )
    return Expectation(rungs, share, share, ends.get(last, 0.0))
