"""The search space: dotted key of the training config -> parameter, and drawing from it.

A hyperparameter whose `when` does not hold is absent from a draw. Values computed from it are
absent too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from sweeps.space.config_values import ConfigValues
from sweeps.space.distributions import Choice, Distribution, sample
from sweeps.space.expressions import Expression, ExpressionError
from sweeps.space.parameters import (
    DerivedParameter,
    ExpressionParameter,
    Parameter,
    ZippedParameter,
)

Space = Mapping[str, Parameter]
Constraints = Sequence[Expression]
Values = dict[str, Any]
"""Dotted key -> value, one draw from a space."""

MAX_GRID_POINTS = 100_000
"""Points that a grid may have; more are taken for a mistake."""

MAX_REJECTED_DRAWS = 1000
"""Consecutive draws that may break a constraint before the constraints count as impossible."""


def resolve(space: Space, config: ConfigValues) -> dict[str, Parameter]:
    """Fills in what derived parameters need: the config, and the values of a zip's source.

    Args:
        space: The space as written.
        config: The training config, for expressions.
    """
    return {key: _resolve_parameter(p, space, config) for key, p in space.items()}


def _resolve_parameter(parameter: Parameter, space: Space, config: ConfigValues) -> Parameter:
    if isinstance(parameter, ExpressionParameter):
        return replace(parameter, expression=parameter.expression.bind(config))
    if isinstance(parameter, ZippedParameter):
        source = space.get(parameter.source_key)
        values = source.values if isinstance(source, Choice) else ()
        return replace(parameter, source_values=values)
    return parameter


def draw_order(space: Space) -> list[str]:
    """The keys in the file's order, but every parameter after those it depends on.

    Keys that depend on one another in a circle are left out; `check_parameters` reports them.
    """
    order: dict[str, None] = {}
    remaining = list(space)
    while remaining:
        ready = next((k for k in remaining if not dependencies(space, k) - order.keys()), None)
        if ready is None:
            break
        remaining.remove(ready)
        order[ready] = None
    return list(order)


def dependencies(space: Space, key: str) -> set[str]:
    """The keys of the space that a parameter depends on."""
    return select_swept(space, space[key].parents)


def select_swept(keys: Iterable[str], names: Collection[str]) -> set[str]:
    """Those keys of a space that the dotted names are, or whose mappings can contain them."""
    return {k for k in keys if k in names or any(name.startswith(f"{k}.") for name in names)}


def select_decided(
    constraints: Iterable[Expression], space: Space, keys: Collection[str]
) -> list[Expression]:
    """The constraints that depend on no other key of a space than the given ones."""
    return [c for c in constraints if select_swept(space, c.parents) <= set(keys)]


def draw(space: Space, pick: Callable[[str, Distribution], Any]) -> Values:
    """Draws once: calls `pick` for the value of every hyperparameter whose `when` holds.

    Args:
        space: A space without circular dependencies.
        pick: Called with a key and its distribution, parents before children.

    Raises:
        ExpressionError: A derived value cannot be computed from the others.
    """
    values: Values = {}
    for key in draw_order(space):
        parameter = space[key]
        if not parameter.is_active(values):
            continue
        if isinstance(parameter, Distribution):
            values[key] = pick(key, parameter)
        elif isinstance(parameter, DerivedParameter):
            values[key] = parameter.value(values)
    return values


def satisfies(constraints: Iterable[Expression], values: Values) -> bool:
    """Whether a complete draw satisfies every constraint.

    A constraint on a key that the trial's config lacks does not apply. One that cannot be computed
    counts as broken.
    """
    for constraint in constraints:
        try:
            if constraint.has_inputs(values) and not constraint.value(values):
                return False
        except ExpressionError:
            return False
    return True


def grid_points(space: Space, constraints: Constraints = ()) -> Iterator[Values]:
    """Every point of a finite space, once; the last key varies fastest.

    Raises:
        ExpressionError: A derived value cannot be computed.
    """
    order = draw_order(space)

    def expand(index: int, values: Values) -> Iterator[Values]:
        if index == len(order):
            yield values
            return
        key = order[index]
        parameter = space[key]
        if not parameter.is_active(values):
            options: Iterable[Values] = [{}]
        elif isinstance(parameter, DerivedParameter):
            options = [{key: parameter.value(values)}]
        else:
            assert isinstance(parameter, Choice), f"{key} does not have a list of values"
            options = ({key: value} for value in parameter.values)
        for option in options:
            yield from expand(index + 1, {**values, **option})

    return (point for point in expand(0, {}) if satisfies(constraints, point))


def is_finite(space: Space) -> bool:
    """Whether a space has a finite number of points."""
    return all(isinstance(parameter, Choice | DerivedParameter) for parameter in space.values())


def grid_size(space: Space, constraints: Constraints = ()) -> int | None:
    """The number of `grid_points`; None for a space that is not finite.

    Stops counting at one above `MAX_GRID_POINTS`.
    """
    if not is_finite(space):
        return None
    return sum(1 for _ in islice(grid_points(space, constraints), MAX_GRID_POINTS + 1))


def grid_part(space: Space) -> dict[str, Parameter]:
    """The `grid` keys of a space; conditions on keys that are not `grid` keys are dropped."""
    grid = {key: p for key, p in space.items() if isinstance(p, Choice) and p.is_grid}
    return {
        key: replace(p, when={k: v for k, v in p.when.items() if k in grid})
        for key, p in grid.items()
    }


def grid_cycle(space: Space, constraints: Constraints) -> Iterator[Values]:
    """The points of a space's `grid_part`, which trials take in turn.

    Without those that break a constraint on `grid` keys alone.
    """
    grid = grid_part(space)
    return grid_points(grid, select_decided(constraints, space, grid))


def random_draw(
    space: Space,
    constraints: Constraints,
    cycle: list[Values],
    seed: int,
    number: int,
    fixed: Mapping[str, Any] | None = None,
) -> Values | None:
    """Draws for trial `number`; the result depends only on the seed and that number.

    Args:
        space: The space.
        constraints: Constraints that the draw must satisfy.
        cycle: The points of `grid_cycle`.
        seed: The sweep's seed.
        number: 0-based number of the trial.
        fixed: Dotted key -> value to use instead of drawing one.

    Returns:
        The first of `MAX_REJECTED_DRAWS` draws that satisfies the constraints; None if none does.
    """
    rng = np.random.default_rng([seed, number])
    given = {**(cycle[number % len(cycle)] if cycle else {}), **(fixed or {})}

    def pick(key: str, distribution: Distribution) -> Any:
        return distribution.convert(given[key]) if key in given else sample(distribution, rng)

    for _ in range(MAX_REJECTED_DRAWS):
        try:
            values = draw(space, pick)
        except ExpressionError:
            continue
        if satisfies(constraints, values):
            return values
    return None
