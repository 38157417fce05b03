"""Tells whether a configuration is one that a space can produce, and why it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.space.distributions import Distribution
from sweeps.space.parameters import DerivedParameter, Parameter, to_json
from sweeps.space.search_space import Constraints, Space, satisfies


def contains(space: Space, constraints: Constraints, values: Mapping[str, Any]) -> bool:
    """Whether a space can produce these values, with every key that then exists and no other."""
    return next(explain_outside(space, constraints, values), None) is None


def explain_outside(
    space: Space, constraints: Constraints, values: Mapping[str, Any]
) -> Iterator[str]:
    """Yields a clause about each value that a space cannot produce, and each broken constraint.

    Args:
        space: A resolved space.
        constraints: The constraints of the search file.
        values: Dotted key -> value.
    """
    for key, value in values.items():
        parameter = space.get(key)
        if parameter is None:
            yield f"{key} is not a key of the space"
        elif not parameter.is_active(values):
            yield f"{key} does not exist with these values"
        elif not can_produce(parameter, values, key):
            yield f"{key}: {to_json(parameter.to_dict())} cannot be {to_json(value)}"
    for key, parameter in space.items():
        if key not in values and parameter.is_active(values):
            yield f"{key} has no value"
    for constraint in constraints:
        if not satisfies([constraint], dict(values)):
            yield f"the constraint {constraint} does not hold"


def can_produce(parameter: Parameter, values: Mapping[str, Any], key: str) -> bool:
    """Whether a parameter can have the value that `values` has for its key."""
    try:
        if isinstance(parameter, Distribution):
            return parameter.can_draw(values[key])
        assert isinstance(parameter, DerivedParameter)
        return to_json(parameter.value(values)) == to_json(values[key])
    except (ValueError, OverflowError):  # the expression fails, or a number is not finite
        return False
