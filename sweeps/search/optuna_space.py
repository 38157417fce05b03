"""Translates a search space and its values to Optuna's distributions and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from sweeps.space.distributions import Choice, Distribution, Normal, Range
from sweeps.space.search_space import Space


def optuna_distribution(distribution: Distribution) -> BaseDistribution:
    """Returns Optuna's distribution of the same values.

    A choice is its index. Normal distributions and multiples on a logarithmic scale, which Optuna
    does not have, are the share below the value, a number in [0, 1].
    """
    if isinstance(distribution, Choice):
        return CategoricalDistribution(range(len(distribution.values)))
    if isinstance(distribution, Normal) or _is_log_of_multiples(distribution):
        return FloatDistribution(0.0, 1.0)
    assert isinstance(distribution, Range)
    low, high = distribution.extremes
    log, step = distribution.log, distribution.step
    if isinstance(low, int):
        return IntDistribution(low, high, log=log, step=1 if log else int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def suggest_value(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    """Asks an Optuna trial for the value of one key."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(key, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(key, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(key, low, high, step=step, log=log)
        case other:
            raise TypeError(f"no suggestion for {other}")


def to_optuna(distribution: Distribution, value: Any) -> Any:
    """Returns a value of the space as one of its `optuna_distribution`."""
    if isinstance(distribution, Choice):
        return distribution.index(value)
    if isinstance(distribution, Normal) or _is_log_of_multiples(distribution):
        return distribution.to_unit(value)
    low, high = distribution.extremes
    return min(max(value, low), high)


def from_optuna(distribution: Distribution, value: Any) -> Any:
    """Returns a value of `optuna_distribution` as one of the space."""
    if isinstance(distribution, Choice):
        return distribution.values[value]
    if isinstance(distribution, Normal) or _is_log_of_multiples(distribution):
        return distribution.from_unit(value)
    if isinstance(distribution, Range) and distribution.step is not None:
        # The nearest multiple, rounded once.
        return distribution.from_unit(distribution.to_unit(value))
    return value


def sampled_distributions(space: Space, values: Mapping[str, Any]) -> dict[str, Distribution]:
    """Returns the distributions of a draw's sampled keys, without those derived from others."""
    entries = {key: space[key] for key in values if key in space}
    return {key: entry for key, entry in entries.items() if isinstance(entry, Distribution)}


def _is_log_of_multiples(distribution: Distribution) -> bool:
    return isinstance(distribution, Range) and distribution.log and distribution.step is not None
