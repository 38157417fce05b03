"""The distributions of a search space: what each can draw, and how it draws.

The kinds are Ray Tune's (`ray.tune.search.sample`); `sweeps.space.parsing` reads them from a file.
Every kind is its inverse distribution function: `from_unit` turns a number in [0, 1] into a value,
so a search algorithm that proposes numbers in [0, 1] can drive all of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np

from sweeps.space.parameters import Entry, shown

_CUT = NormalDist().cdf(-4)
"""Share of a normal distribution below minus four standard deviations."""


@dataclass(frozen=True)
class Distribution(Entry):
    """What one hyperparameter is drawn from."""

    @property
    @abstractmethod
    def arguments(self) -> list[Any]:
        """What the kind takes, as in a search file."""

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values to check before a sweep: both ends of a range, every value of a choice."""
        return self.from_unit(0.0), self.from_unit(1.0)

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """The inverse distribution function: the value below which the share `unit` lies.

        Args:
            unit: In [0, 1].
        """

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """A number in [0, 1] from which `from_unit` makes `value`, up to rounding."""

    def typed(self, value: Any) -> Any:
        """A value that it can draw, of the type that it draws: 1 is 1.0 where numbers are."""
        return type(self.corners[0])(value)

    def can_draw(self, value: Any) -> bool:
        """Whether a value may have come from here."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        low, high = self.corners
        if isinstance(low, int) and value != int(value):
            return False
        if self.kind.startswith("q") and not math.isclose(
            value, self.from_unit(self.to_unit(value)), abs_tol=1e-12
        ):
            return False  # between two multiples
        # The ends of a logarithmic range are off by a rounding error.
        return low <= value <= high or math.isclose(value, low) or math.isclose(value, high)


@dataclass(frozen=True)
class Range(Distribution):
    """Numbers between two ends, on a linear or a logarithmic scale."""

    low: float
    high: float
    q: float | None = None

    @property
    def arguments(self) -> list[Any]:
        """`[low, high]` or `[low, high, q]`."""
        return [self.low, self.high] + ([] if self.q is None else [self.q])

    @property
    def _is_whole(self) -> bool:
        return "randint" in self.kind

    @property
    def _is_log(self) -> bool:
        return "log" in self.kind

    def _multiples(self) -> tuple[int, int]:
        """The first and the last multiple of `q` that can be drawn; of 1 where there is no q."""
        if self.q is None:
            return int(self.low), int(self.high) - 1
        step = _exact(self.q)
        return math.ceil(_exact(self.low) / step), math.floor(_exact(self.high) / step)

    def _scale(self) -> tuple[float, float]:
        """Both ends, in the logarithm for a log kind; a whole number n covers [n, n + 1)."""
        if self._is_whole:
            first, last = self._multiples()
            ends = float(first), float(last + 1)
        elif self.q is None:
            ends = self.low, self.high
        else:
            first, last = self._multiples()
            ends = _multiple(first, self.q), _multiple(last, self.q)
        return (math.log(ends[0]), math.log(ends[1])) if self._is_log else ends

    def from_unit(self, unit: float) -> Any:
        """See `Distribution.from_unit`."""
        start, end = self._scale()
        point = start * (1 - unit) + end * unit
        value = math.exp(point) if self._is_log else point
        if self._is_whole:
            first, last = self._multiples()
            return min(max(math.floor(value), first), last) * int(self.q or 1)
        if self.q is None:
            return min(max(value, self.low), self.high)
        first, last = self._multiples()
        return _multiple(min(max(round(value / self.q), first), last), self.q)

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`; a whole number is the middle of what becomes it."""
        start, end = self._scale()
        if self._is_whole:
            index = value / int(self.q or 1)
            point = math.log(index) + math.log1p(1 / index) / 2 if self._is_log else index + 0.5
        else:
            point = math.log(value) if self._is_log else value
        return _clip((point - start) / ((end - start) or 1.0))


@dataclass(frozen=True)
class Normal(Distribution):
    """A bell curve, of the value or of its logarithm, cut at four standard deviations."""

    mean: float
    sd: float
    q: float | None = None

    @property
    def arguments(self) -> list[Any]:
        """`[mean, sd]` or `[mean, sd, q]`."""
        return [self.mean, self.sd] + ([] if self.q is None else [self.q])

    def from_unit(self, unit: float) -> float:
        """See `Distribution.from_unit`."""
        value = self.mean + self.sd * NormalDist().inv_cdf(_CUT + unit * (1 - 2 * _CUT))
        if self.kind == "lognormal":
            return math.exp(value)
        return value if self.q is None else _multiple(round(value / self.q), self.q)

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`."""
        point = math.log(value) if self.kind == "lognormal" else value
        share = NormalDist().cdf((point - self.mean) / self.sd)
        return _clip((share - _CUT) / (1 - 2 * _CUT))


@dataclass(frozen=True)
class Choice(Distribution):
    """`choice` and `grid`: a list of values."""

    values: tuple[Any, ...]

    @property
    def arguments(self) -> list[Any]:
        """The values."""
        return list(self.values)

    @property
    def corners(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    def typed(self, value: Any) -> Any:
        """See `Distribution.typed`."""
        return self.values[self.index(value)]

    def can_draw(self, value: Any) -> bool:
        """See `Distribution.can_draw`."""
        return shown(value) in map(shown, self.values)

    def index(self, value: Any) -> int:
        """The position of a value; `1`, `1.0` and `true` are three different ones.

        Raises:
            ValueError: When it is none of the values.
        """
        return [shown(known) for known in self.values].index(shown(value))

    def from_unit(self, unit: float) -> Any:
        """See `Distribution.from_unit`; every value has the same share."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`."""
        return (self.index(value) + 0.5) / len(self.values)


def sample(distribution: Distribution, rng: np.random.Generator) -> Any:
    """Draws one plain Python value: whole numbers are `int`, others `float`."""
    return distribution.from_unit(rng.random())


def _exact(value: float) -> Fraction:
    """The number as it is written: 0.1 is one tenth, not the nearest binary fraction."""
    return Fraction(repr(value))


def _multiple(count: int, q: float) -> float:
    """`count * q`, rounded once: 3 times 0.1 is 0.3."""
    return float(count * _exact(q))


def _clip(unit: float) -> float:
    return min(max(unit, 0.0), 1.0)
