"""The distributions of a search space: how one is written, what it can draw, and how it draws.

A distribution is written as a mapping of one kind to its arguments, `{loguniform: [1e-3, 1.0]}`.
The kinds and their arguments are Ray Tune's (`ray.tune.search.sample`):

- `uniform`, `loguniform` `[low, high]`, and `quniform`, `qloguniform` `[low, high, q]`: numbers.
- `randint`, `lograndint` `[low, high]`: whole numbers, `high` itself is never drawn.
- `qrandint`, `qlograndint` `[low, high, q]`: whole multiples of `q`, `high` can be drawn.
- `normal`, `lognormal` `[mean, sd]`, `qnormal` `[mean, sd, q]`: cut at four standard deviations,
  so that every value that can be drawn is checked before a sweep starts. The mean and standard
  deviation of `lognormal` are those of the natural logarithm.
- `choice` `[a, b, ...]`: one of these. `grid` `[a, b, ...]`: each of these in turn.

Every kind is its inverse distribution function: `from_unit` turns a number in [0, 1] into a value.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np

from trainable.naming import suggestion

ARGUMENTS = {
    "uniform": "low, high",
    "quniform": "low, high, q",
    "loguniform": "low, high",
    "qloguniform": "low, high, q",
    "randint": "low, high",
    "qrandint": "low, high, q",
    "lograndint": "low, high",
    "qlograndint": "low, high, q",
    "normal": "mean, sd",
    "qnormal": "mean, sd, q",
    "lognormal": "mean, sd",
    "choice": "a, b, ...",
    "grid": "a, b, ...",
}
"""Every kind and what it takes."""

_CUT = NormalDist().cdf(-4)
"""Share of a normal distribution below minus four standard deviations."""


def shown(value: Any) -> str:
    """A plain value as messages show it; values of different types never look the same."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Distribution(ABC):
    """What one hyperparameter is drawn from."""

    kind: str
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=True)
    """Other key of the space -> the values with which this hyperparameter exists."""

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

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds under the values of the hyperparameters drawn before."""
        return all(
            key in values and shown(values[key]) in map(shown, allowed)
            for key, allowed in self.when.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The distribution as a search file writes it."""
        when = {key: list(allowed) for key, allowed in self.when.items()}
        return {self.kind: self.arguments} | ({"when": when} if when else {})


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
        """The first and the last multiple of `q` (of 1 without one) that can be drawn."""
        step = _exact(1 if self.q is None else self.q)
        last = math.floor(_exact(self.high) / step)
        return math.ceil(_exact(self.low) / step), last - (self.q is None)

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


# ---------------------------------------------------------------------------- reading


def parse_distribution(raw: Any) -> Distribution:
    """Reads a distribution as a search file writes it.

    `{min: , max: , log: true}` and `{values: [...]}` are read too: a range with two whole ends
    includes both.

    Raises:
        ValueError: With the rule that it breaks.
    """
    if isinstance(raw, Distribution):
        return raw
    if isinstance(raw, list):
        raise ValueError(_two_readings(raw))
    if not isinstance(raw, Mapping):
        raise ValueError(
            "must be a distribution such as {choice: [1, 2]}; a constant belongs in config, "
            f"found {shown(raw)}"
        )
    body = {key: value for key, value in raw.items() if key != "when"}
    kind, arguments = _kind_and_arguments(body)
    when = _parse_when(raw.get("when", {}))
    if kind in {"choice", "grid"}:
        return Choice(kind, _parse_values(kind, arguments), when=when)
    numbers = _parse_numbers(kind, arguments)
    if "normal" in kind:
        _check_normal(kind, *numbers)
        return Normal(kind, *numbers, when=when)
    found = Range(kind, *numbers, when=when)
    _check_range(found)
    return found


def _two_readings(values: list[Any]) -> str:
    text = f"a bare list can be read in two ways: write {{choice: {shown(values)}}} to try "
    text += "these values"
    if len(values) == 2 and all(map(_is_number, values)):
        return f"{text}, or {{uniform: {shown(values)}}} for the range between them"
    return f"{text}, or {{uniform: [low, high]}} for a range"


def _kind_and_arguments(body: dict[str, Any]) -> tuple[str, Any]:
    if body.keys() & {"min", "max", "values", "value"}:
        return _other_form(body)
    if len(body) == 1:
        kind, arguments = next(iter(body.items()))
        if kind in ARGUMENTS:
            return kind, arguments
        raise ValueError(f'unknown distribution "{kind}"{suggestion(kind, ARGUMENTS)}')
    foreign = [key for key in body if key not in ARGUMENTS]
    if foreign and len(body) == 2:
        raise ValueError(f'unknown key "{foreign[0]}"{suggestion(foreign[0], ["when"])}')
    found = ", ".join(body) or "nothing"
    raise ValueError(f"must name one distribution, and at most when beside it, found {found}")


def _other_form(body: dict[str, Any]) -> tuple[str, Any]:
    """`{min, max, log}` and `{values}` as a kind and its arguments."""
    if body.keys() == {"values"}:
        return "choice", body["values"]
    if body.keys() == {"value"}:
        raise ValueError(f"a constant belongs in config, found {shown(body['value'])}")
    if body.keys() - {"log"} != {"min", "max"}:
        raise ValueError(
            f"takes min and max, and at most log beside them, found {', '.join(body)}"
        )
    low, high, log = body["min"], body["max"], body.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, found {shown(log)}")
    if isinstance(low, int) and isinstance(high, int):
        return "lograndint" if log else "randint", [low, high + 1]
    return "loguniform" if log else "uniform", [low, high]
