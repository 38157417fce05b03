"""Distributions of a search space: ranges, normal distributions and lists of values.

The kinds are Ray Tune's (`ray.tune.search.sample`); `sweeps.space.parsing` reads them from a file.
Each one is its inverse distribution function: `from_unit` maps a number in [0, 1] to a value, so
any search algorithm that suggests numbers in [0, 1] can drive all of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from statistics import NormalDist
from typing import Any

import numpy as np

from sweeps.space.parameters import Parameter, to_json

ROUNDING = 1e-12
"""Relative difference of a given value to one that can be drawn that counts as rounding."""

_TAIL = NormalDist().cdf(-4)
"""Share of a normal distribution below minus four standard deviations."""


@dataclass(frozen=True)
class Distribution(Parameter):
    """A parameter whose value is drawn."""

    @property
    @abstractmethod
    def extremes(self) -> tuple[Any, ...]:
        """The values to check before a sweep: both ends of a range, every value of a choice."""

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """Inverse distribution function: the value below which the share `unit` lies.

        Args:
            unit: A share in [0, 1].
        """

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """The share in [0, 1] that `from_unit` maps to `value`, up to rounding."""

    @abstractmethod
    def convert(self, value: Any) -> Any:
        """The nearest value that can be drawn, in the type that is drawn: 1.0 for 1 in a range."""

    @abstractmethod
    def can_draw(self, value: Any) -> bool:
        """Whether the distribution can give this value."""


@dataclass(frozen=True)
class NumericDistribution(Distribution):
    """A distribution of numbers."""

    step: float | None = field(default=None, kw_only=True)
    """Only multiples of it are drawn (`q` in a search file); None means every number."""
    log: bool = field(default=False, kw_only=True)
    """Whether the logarithm of the value has the distribution."""
    integer: bool = field(default=False, kw_only=True)
    """Whether the values are integers."""

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The smallest and the largest value."""
        return self.from_unit(0.0), self.from_unit(1.0)

    def convert(self, value: Any) -> Any:
        """See `Distribution.convert`."""
        low, high = self.extremes
        nearest = min(max(value, low), high)
        if self.step is not None:
            return self.from_unit(self.to_unit(nearest))
        return int(nearest) if self.integer else float(nearest)

    def can_draw(self, value: Any) -> bool:
        """See `Distribution.can_draw`."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        if self.integer and value != int(value):
            return False
        nearest = self.convert(value)
        tolerance = ROUNDING * (self.step or 0.0)
        return math.isclose(value, nearest, rel_tol=ROUNDING, abs_tol=tolerance)


@dataclass(frozen=True)
class Range(NumericDistribution):
    """Numbers between two ends, equally likely on a linear or a logarithmic scale."""

    low: float
    high: float

    @property
    def kind(self) -> str:
        """`uniform` or `randint`; after `log` on that scale, and after `q` with a step."""
        prefix = ("q" if self.step is not None else "") + ("log" if self.log else "")
        return prefix + ("randint" if self.integer else "uniform")

    @property
    def arguments(self) -> list[Any]:
        """`[low, high]` or `[low, high, step]`."""
        return [self.low, self.high] + ([] if self.step is None else [self.step])

    def _multiples(self) -> tuple[int, int]:
        """The first and the last multiple of the step (of 1 without one) that can be drawn."""
        if self.step is None:
            return int(self.low), int(self.high) - 1
        step = _to_fraction(self.step)
        return math.ceil(_to_fraction(self.low) / step), math.floor(_to_fraction(self.high) / step)

    def _scaled_ends(self) -> tuple[float, float]:
        """Both ends on the scale of the distribution.

        An integer n covers [n, n + 1), a multiple m of the step [m - 0.5, m + 0.5) steps.
        """
        if self.integer:
            first, last = self._multiples()
            ends = float(first), float(last + 1)
        elif self.step is None:
            ends = self.low, self.high
        else:
            first, last = self._multiples()
            ends = (first - 0.5) * self.step, (last + 0.5) * self.step
        return (math.log(ends[0]), math.log(ends[1])) if self.log else ends

    def from_unit(self, unit: float) -> Any:
        """See `Distribution.from_unit`."""
        start, end = self._scaled_ends()
        point = start * (1 - unit) + end * unit
        value = math.exp(point) if self.log else point
        if self.integer:
            first, last = self._multiples()
            return min(max(math.floor(value), first), last) * int(self.step or 1)
        if self.step is None:
            if unit in (0.0, 1.0):  # without the rounding error of the logarithm
                return self.high if unit else self.low
            return min(max(value, self.low), self.high)
        first, last = self._multiples()
        count = math.floor(value / self.step + 0.5)
        return _multiply(min(max(count, first), last), self.step)

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`; an integer is mapped to the middle of its share."""
        start, end = self._scaled_ends()
        if self.integer:
            index = value / int(self.step or 1)
            point = math.log(index) + math.log1p(1 / index) / 2 if self.log else index + 0.5
        else:
            point = math.log(value) if self.log else value
        return _clip((point - start) / ((end - start) or 1.0))


@dataclass(frozen=True)
class Normal(NumericDistribution):
    """A normal distribution of the value or its logarithm, cut at four standard deviations."""

    mean: float
    sd: float

    @property
    def kind(self) -> str:
        """`normal`, `qnormal` or `lognormal`."""
        if self.log:
            return "lognormal"
        return "normal" if self.step is None else "qnormal"

    @property
    def arguments(self) -> list[Any]:
        """`[mean, sd]` or `[mean, sd, step]`."""
        return [self.mean, self.sd] + ([] if self.step is None else [self.step])

    def from_unit(self, unit: float) -> float:
        """See `Distribution.from_unit`."""
        value = self.mean + self.sd * NormalDist().inv_cdf(_TAIL + unit * (1 - 2 * _TAIL))
        if self.log:
            return math.exp(value)
        return value if self.step is None else _multiply(round(value / self.step), self.step)

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`."""
        point = math.log(value) if self.log else value
        share = NormalDist().cdf((point - self.mean) / self.sd)
        return _clip((share - _TAIL) / (1 - 2 * _TAIL))


@dataclass(frozen=True)
class Choice(Distribution):
    """`choice` and `grid`: a list of values."""

    values: tuple[Any, ...]
    is_grid: bool = False
    """Whether trials take the values in turn (`grid`) instead of drawing them."""
    weights: tuple[float, ...] = ()
    """How often each value is drawn, relative to the others; empty means equally often."""

    @property
    def kind(self) -> str:
        """`grid` or `choice`."""
        return "grid" if self.is_grid else "choice"

    @property
    def arguments(self) -> list[Any]:
        """The values."""
        return list(self.values)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    def convert(self, value: Any) -> Any:
        """See `Distribution.convert`."""
        return self.values[self.index(value)]

    def can_draw(self, value: Any) -> bool:
        """See `Distribution.can_draw`."""
        return to_json(value) in map(to_json, self.values)

    def index(self, value: Any) -> int:
        """The position of a value; `1`, `1.0` and `true` are three different ones.

        Raises:
            ValueError: The value is not in the list.
        """
        return [to_json(option) for option in self.values].index(to_json(value))

    def from_unit(self, unit: float) -> Any:
        """See `Distribution.from_unit`; a value has a share in proportion to its weight."""
        if not self.weights:
            return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]
        position = bisect_right(self._ends, unit * self._ends[-1])
        return self.values[min(position, len(self.values) - 1)]

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`; the middle of the value's share."""
        if not self.weights:
            return (self.index(value) + 0.5) / len(self.values)
        return sum(self.share(self.index(value))) / 2

    def share(self, position: int) -> tuple[float, float]:
        """Returns where the share of the value at a position begins and ends, in [0, 1]."""
        start = self._ends[position - 1] if position else 0.0
        return start / self._ends[-1], self._ends[position] / self._ends[-1]

    def to_dict(self) -> dict[str, Any]:
        """See `Parameter.to_dict`."""
        weights = {"weights": list(self.weights)} if self.weights else {}
        return {**super().to_dict(), **weights}

    @cached_property
    def _ends(self) -> list[float]:
        """Sums of the weights up to each value."""
        return list(accumulate(self.weights or [1.0] * len(self.values)))


def sample(distribution: Distribution, rng: np.random.Generator) -> Any:
    """Draws one plain Python value: integers are `int`, other numbers `float`."""
    return distribution.from_unit(rng.random())


def _to_fraction(value: float) -> Fraction:
    """The number as it is written: 0.1 is one tenth, not the nearest binary fraction."""
    return Fraction(repr(value))


def _multiply(count: int, step: float) -> float:
    """`count * step`, rounded once: 3 times 0.1 is 0.3."""
    return float(count * _to_fraction(step))


def _clip(unit: float) -> float:
    return min(max(unit, 0.0), 1.0)
