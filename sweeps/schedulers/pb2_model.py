"""The model of PB2: which values improve a population fastest, by a Gaussian process.

Parker-Holder et al., "Provably Efficient Online Hyperparameter Optimization with Population-Based
Bandits" (NeurIPS 2020). Values are searched on the scale of their distributions: a log-uniform
range by its logarithm.

There are too few improvements to fit the parameters of the kernel by gradient: they end at their
bounds. They are chosen by likelihood among a few plausible ones instead, and the noise of an
improvement is one of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LENGTH_SCALES = (0.05, 0.2, 0.8, 3.2)
"""Squared distances, in units of the whole range, over which improvements are alike."""
FORGETTING = (0.02, 0.2)
"""Shares of the correlation that are lost over all epochs."""
NOISES = (0.01, 0.1, 0.5)
"""Variances of the noise of an improvement, whose own variance is 1."""
MAX_IMPROVEMENTS = 200
"""Improvements that the model is fitted to, the newest ones."""
CANDIDATES = 1000
"""Random points among which the best one is chosen."""


@dataclass(frozen=True)
class Improvement:
    """The gain of one trial between two looks of the scheduler."""

    epoch: int
    """The epoch of the first look."""
    units: tuple[float, ...]
    """The values that were trained with, each as its share of the distribution in [0, 1]."""
    gain: float
    """The increase of the score per epoch."""


def select_units(
    improvements: Sequence[Improvement],
    pending: Sequence[tuple[float, ...]],
    epoch: int,
    rng: np.random.Generator,
) -> list[float]:
    """Selects values by the upper confidence bound of their improvement.

    Args:
        improvements: At least one.
        pending: Values that other trials have started to train with; their outcome is unknown.
        epoch: The epoch after which the values are to be trained with.
        rng: Draws the candidates.

    Returns:
        The values, each as its share of the distribution in [0, 1].
    """
    recent = improvements[-MAX_IMPROVEMENTS:]
    gains = np.array([item.gain for item in recent])
    gains = (gains - gains.mean()) / (gains.std() or 1.0)
    first = min(item.epoch for item in recent)
    span = max(epoch - first, 1)

    def join(epochs: Sequence[int], units: Any) -> np.ndarray:
        """Joins epochs, as shares of those since the first, with the values: `[N, 1 + D]`."""
        return np.column_stack([(np.asarray(epochs) - first) / span, np.asarray(units)])

    seen = join([item.epoch for item in recent], [item.units for item in recent])
    candidates = rng.random((CANDIDATES, len(recent[0].units)))
    points = join([epoch] * CANDIDATES, candidates)
    model = _fit(seen, gains)
    mean, spread = model.predict(points, return_std=True)
    if pending:  # as if each had the outcome that is expected of it (Desautels et al., 2014)
        started = join([epoch] * len(pending), pending)
        outcomes = np.concatenate([gains, model.predict(started)])
        informed = _build_process(model.kernel, model.alpha)
        informed.fit(np.vstack([seen, started]), outcomes)
        spread = informed.predict(points, return_std=True)[1]
    weight = math.sqrt(0.2 + max(0.0, math.log(0.4 * len(recent))))
    return [float(unit) for unit in candidates[int(np.argmax(mean + weight * spread))]]


def _fit(points: np.ndarray, gains: np.ndarray) -> Any:
    """Returns the likeliest process, fitted.

    Args:
        points: `[N, 1 + D]`, the epochs in the first column.
        gains: `[N]`, with mean 0 and standard deviation 1.
    """
    from ray.tune.schedulers.pb2_utils import TV_SquaredExp  # imports scikit-learn: slow

    processes = [
        _build_process(TV_SquaredExp(1.0, scale, loss), noise).fit(points, gains)
        for scale, loss, noise in itertools.product(LENGTH_SCALES, FORGETTING, NOISES)
    ]
    return max(processes, key=lambda process: process.log_marginal_likelihood_value_)


def _build_process(kernel: Any, noise: float) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    return GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
