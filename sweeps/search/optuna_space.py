"""A search space as Optuna has it: its distributions, and values on the way there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweeps.space.distributions import Choice, Distribution, Normal, Range
from sweeps.space.search_space import Space


def optuna_distribution(found: Distribution) -> BaseDistribution:
    """Optuna's distribution of the same values.

    A choice is its index. What Optuna has no like of, a bell curve and multiples on a logarithmic
    scale, is the share below the value, a number in [0, 1].
    """
    if isinstance(found, Choice):
        return CategoricalDistribution(range(len(found.values)))
    if isinstance(found, Normal) or _is_logarithm_of_multiples(found):
        return FloatDistribution(0.0, 1.0)
    assert isinstance(found, Range)
    low, high = found.extremes
    log = found.log
    if isinstance(low, int):
        return IntDistribution(low, high, log=log, step=1 if log else int(found.step or 1))
    return FloatDistribution(low, high, log=log, step=found.step)


def _is_logarithm_of_multiples(found: Distribution) -> bool:
    return isinstance(found, Range) and found.log and found.step is not None


def to_optuna(found: Distribution, value: Any) -> Any:
    """A value of the space as one of its `optuna_distribution`."""
    if isinstance(found, Choice):
        return found.index(value)
    if isinstance(found, Normal) or _is_logarithm_of_multiples(found):
        return found.to_unit(value)
    low, high = found.extremes
    return min(max(value, low), high)


def from_optuna(found: Distribution, value: Any) -> Any:
    """A value of `optuna_distribution` as one of the space."""
    if isinstance(found, Choice):
        return found.values[value]
    if isinstance(found, Normal) or _is_logarithm_of_multiples(found):
        return found.from_unit(value)
    if isinstance(found, Range) and found.step is not None:
        return found.from_unit(found.to_unit(value))  # the nearest multiple as it is written
    return value


def drawn(space: Space, values: Mapping[str, Any]) -> dict[str, Distribution]:
    """The keys of a draw that were drawn, and did not follow from others."""
    found = {key: space[key] for key in values if key in space}
    return {key: entry for key, entry in found.items() if isinstance(entry, Distribution)}
