"""The parameters of a search space in Python, named as in the search file.

Each function returns a `SpaceValue`, which is checked together with the whole search: by
`Search.validate`, `Search.save` and `run_sweep`, with the name of its key in the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

When = Mapping[str, Any]
"""Other key of the space -> the value, or list of values, with which a parameter exists."""


@dataclass(frozen=True)
class SpaceValue:
    """One parameter of a search space; `uniform`, `choice` and the like create it."""

    kind: str
    """The name that the search file uses, such as `loguniform`."""
    arguments: Any
    """The arguments of the kind, as in the search file."""
    weights: Sequence[float] | None = None
    """How often each value of a `choice` is drawn, relative to the others."""
    when: When = field(default_factory=dict)
    """Other key of the space -> the value, or list of values, with which it exists."""

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the search file writes it, e.g. `{"loguniform": [1e-4, 0.1]}`."""
        from sweeps.api.plain_values import to_plain

        values: dict[str, Any] = {self.kind: to_plain(self.arguments)}
        if self.weights is not None:
            values["weights"] = to_plain(self.weights)
        if self.when:
            values["when"] = to_plain(self.when)
        return values


def uniform(low: float, high: float, *, when: When | None = None) -> SpaceValue:
    """A number between both ends.

    Args:
        low: The lower end.
        high: The upper end.
        when: Other key -> the value, or list of values, with which this key exists.

    Example:
        `uniform(0.8, 0.99, when={"optimizer.name": "sgd"})`
    """
    return _build("uniform", [low, high], when)


def quniform(low: float, high: float, q: float, *, when: When | None = None) -> SpaceValue:
    """A multiple of `q` between both ends, both included.

    Args:
        low: The lower end.
        high: The upper end.
        q: The step.
        when: See `uniform`.
    """
    return _build("quniform", [low, high, q], when)


def loguniform(low: float, high: float, *, when: When | None = None) -> SpaceValue:
    """A number whose logarithm is uniform.

    Args:
        low: The lower end, above 0.
        high: The upper end.
        when: See `uniform`.

    Example:
        `loguniform(1e-4, 1e-1)`
    """
    return _build("loguniform", [low, high], when)


def qloguniform(low: float, high: float, q: float, *, when: When | None = None) -> SpaceValue:
    """A multiple of `q`, both ends included, uniform in the logarithm.

    Args:
        low: The lower end, above 0.
        high: The upper end.
        q: The step.
        when: See `uniform`.
    """
    return _build("qloguniform", [low, high, q], when)


def randint(low: int, high: int, *, when: When | None = None) -> SpaceValue:
    """A whole number from `low` to `high - 1`.

    Args:
        low: The smallest number.
        high: The number above the largest one.
        when: See `uniform`.
    """
    return _build("randint", [low, high], when)


def qrandint(low: int, high: int, q: int, *, when: When | None = None) -> SpaceValue:
    """A whole multiple of `q`, both ends included.

    Args:
        low: The lower end.
        high: The upper end.
        q: The step.
        when: See `uniform`.
    """
    return _build("qrandint", [low, high, q], when)


def lograndint(low: int, high: int, *, when: When | None = None) -> SpaceValue:
    """A whole number from `low` to `high - 1`, uniform in the logarithm.

    Args:
        low: The smallest number, above 0.
        high: The number above the largest one.
        when: See `uniform`.
    """
    return _build("lograndint", [low, high], when)


def qlograndint(low: int, high: int, q: int, *, when: When | None = None) -> SpaceValue:
    """A whole multiple of `q`, both ends included, uniform in the logarithm.

    Args:
        low: The lower end, above 0.
        high: The upper end.
        q: The step.
        when: See `uniform`.
    """
    return _build("qlograndint", [low, high, q], when)


def normal(mean: float, sd: float, *, when: When | None = None) -> SpaceValue:
    """A number with a normal distribution, cut at four standard deviations.

    Args:
        mean: The mean.
        sd: The standard deviation.
        when: See `uniform`.
    """
    return _build("normal", [mean, sd], when)


def qnormal(mean: float, sd: float, q: float, *, when: When | None = None) -> SpaceValue:
    """A number with a normal distribution, rounded to a multiple of `q`.

    Args:
        mean: The mean.
        sd: The standard deviation.
        q: The step.
        when: See `uniform`.
    """
    return _build("qnormal", [mean, sd, q], when)


def lognormal(mean: float, sd: float, *, when: When | None = None) -> SpaceValue:
    """A number whose natural logarithm has a normal distribution.

    Args:
        mean: The mean of the logarithm.
        sd: The standard deviation of the logarithm.
        when: See `uniform`.
    """
    return _build("lognormal", [mean, sd], when)


def choice(
    values: Sequence[Any], *, weights: Sequence[float] | None = None, when: When | None = None
) -> SpaceValue:
    """One of the values.

    Args:
        values: Text, numbers, booleans, None, lists and mappings of them, and ranges or normal
            distributions, which are drawn from in turn.
        weights: How often each value is drawn, relative to the others.
        when: See `uniform`.

    Example:
        `choice([0, loguniform(1e-6, 1e-2)], weights=[1, 3])`
    """
    return SpaceValue("choice", list(values), weights, dict(when or {}))


def grid(values: Sequence[Any], *, when: When | None = None) -> SpaceValue:
    """Each of the values in turn; several such keys make a grid.

    Args:
        values: Text, numbers, booleans, None, and lists and mappings of them.
        when: See `uniform`.
    """
    return _build("grid", list(values), when)


def expr(text: str, *, when: When | None = None) -> SpaceValue:
    """The value of an expression over other keys; it is not sampled.

    Args:
        text: The expression, e.g. `0.01 * optimizer.learning_rate`.
        when: See `uniform`.
    """
    return _build("expr", text, when)


def zip_(key: str, values: Sequence[Any], *, when: When | None = None) -> SpaceValue:
    """The value at the same position as the value of another key: `zip` in the search file.

    Args:
        key: A `choice` or `grid` of the same space.
        values: One value for each of its values.
        when: See `uniform`.

    Example:
        `zip_("optimizer.name", [0.1, 1e-3])`
    """
    return _build("zip", {key: list(values)}, when)


def _build(kind: str, arguments: Any, when: When | None) -> SpaceValue:
    return SpaceValue(kind, arguments, when=dict(when or {}))
