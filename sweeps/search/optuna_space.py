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
from sweeps.space.mixture import Mixture
from sweeps.space.search_space import Space


def optuna_distribution(distribution: Distribution) -> BaseDistribution:
    """Returns Optuna's distribution of the same values.

    A choice is its index. What Optuna does not have (normal distributions, multiples on a
    logarithmic scale, choices with weights) is the share below the value, a number in [0, 1].
    """
    if _is_share(distribution):
        return FloatDistribution(0.0, 1.0)
    if isinstance(distribution, Choice):
        return CategoricalDistribution(range(len(distribution.values)))
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
    if _is_share(distribution):
        return distribution.to_unit(value)
    if isinstance(distribution, Choice):
        return distribution.index(value)
    assert isinstance(distribution, Range)
    low, high = distribution.extremes
    return min(max(value, low), high)


def from_optuna(distribution: Distribution, value: Any) -> Any:
    """Returns a value of `optuna_distribution` as one of the space."""
    if _is_share(distribution):
        return distribution.from_unit(value)
    if isinstance(distribution, Choice):
        return distribution.values[value]
    if isinstance(distribution, Range) and distribution.step is not None:
        # The nearest multiple, rounded once.
        return distribution.from_unit(distribution.to_unit(value))
    return value


def suggest(trial: Trial, key: str, distribution: Distribution) -> Any:
    """Asks an Optuna trial for a value of the space.

    A mixture is a choice of an option and, if that is a distribution, a parameter of its own.
    """
    if isinstance(distribution, Mixture):
        position = suggest(trial, key, distribution.branches)
        option = distribution.options[position]
        is_drawn = isinstance(option, Distribution)
        return suggest(trial, option_name(key, position), option) if is_drawn else option
    value = suggest_value(trial, key, optuna_distribution(distribution))
    return from_optuna(distribution, value)


def option_name(key: str, position: int) -> str:
    """Returns the name of the parameter of a mixture's option."""
    return f"{key}[{position}]"


def optuna_parameters(space: Space) -> dict[str, Distribution]:
    """Returns name -> distribution of every parameter that `suggest` asks for."""
    parameters: dict[str, Distribution] = {}
    for key, entry in space.items():
        if isinstance(entry, Mixture):
            parameters[key] = entry.branches
            for position, option in enumerate(entry.options):
                if isinstance(option, Distribution):
                    parameters[option_name(key, position)] = option
        elif isinstance(entry, Distribution):
            parameters[key] = entry
    return parameters


def parameter_values(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns name -> value of the parameters of `optuna_parameters` that give a draw's values.

    Values that are derived from others are left out.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        entry = space.get(key)
        if isinstance(entry, Mixture):
            result[key] = position = entry.branch(value)
            if isinstance(entry.options[position], Distribution):
                result[option_name(key, position)] = value
        elif isinstance(entry, Distribution):
            result[key] = value
    return result


def _is_share(distribution: Distribution) -> bool:
    """Whether Optuna gets the share below a value instead of the value."""
    if isinstance(distribution, Choice):
        return bool(distribution.weights)
    if isinstance(distribution, Range):
        return distribution.log and distribution.step is not None
    return isinstance(distribution, Normal)
