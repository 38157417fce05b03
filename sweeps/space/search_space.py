"""The search space: dotted key of the training config -> entry; what is drawn from it.

A hyperparameter with a `when` that does not hold is absent from a draw, and so is what derives
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from sweeps.space.distributions import Choice, Distribution, sample
from sweeps.space.expressions import Expression, ExpressionError
from sweeps.space.parameters import Computed, Entry, Linked, flat

Space = Mapping[str, Entry]
Constraints = Sequence[Expression]
Values = dict[str, Any]
"""Dotted key -> value, one draw from a space."""

MAX_POINTS = 100_000
"""A grid with more points is a mistake."""

MAX_DRAWS = 1000
"""Draws that break a constraint, one after the other, before it is taken for impossible."""


def resolved(space: Space, constants: Mapping[str, Any]) -> dict[str, Entry]:
    """The space with what its entries need of one another.

    Args:
        space: As written.
        constants: Dotted key of the training config -> value, for expressions.
    """
    return {key: _resolved(entry, space, constants) for key, entry in space.items()}


def _resolved(entry: Entry, space: Space, constants: Mapping[str, Any]) -> Entry:
    if isinstance(entry, Computed):
        return replace(entry, expression=bound(entry.expression, space, constants))
    if isinstance(entry, Linked):
        leader = space.get(entry.leader)
        return replace(entry, leading=leader.values if isinstance(leader, Choice) else ())
    return entry


def bound(expression: Expression, space: Space, constants: Mapping[str, Any]) -> Expression:
    """An expression with the values of those of its keys that are no keys of the space."""
    swept = [name for name in expression.names if is_swept(name, space)]
    return expression.bound(
        {k: constants[k] for k in expression.names if k in constants and k not in swept}
    )


def is_swept(name: str, space: Space) -> bool:
    """Whether a dotted key is one of the space, or lies in one whose values are mappings."""
    return any(name == key or name.startswith(f"{key}.") for key in space)


def draw_order(space: Space) -> list[str]:
    """The keys so that every entry comes after those it depends on, else in the file's order.

    Keys that depend on one another in a circle are left out; `entry_problems` names them.
    """
    order: dict[str, None] = {}
    left = list(space)
    while left:
        ready = next((k for k in left if not needed(space, k) - order.keys()), None)
        if ready is None:
            break
        left.remove(ready)
        order[ready] = None
    return list(order)


def needed(space: Space, key: str) -> set[str]:
    """The keys of the space that an entry depends on."""
    parents = space[key].parents
    return {k for k in space if k in parents or any(p.startswith(f"{k}.") for p in parents)}


def draw(space: Space, pick: Callable[[str, Distribution], Any]) -> Values:
    """Draws once: asks `pick` for the value of every hyperparameter whose `when` holds.

    Args:
        space: The space; nothing in it goes round in a circle.
        pick: Called with a key and its distribution, parents before children.

    Raises:
        ExpressionError: A derived value cannot be computed from the others.
    """
    values: Values = {}
    for key in draw_order(space):
        entry = space[key]
        if not entry.is_active(values):
            continue
        if isinstance(entry, Distribution):
            values[key] = pick(key, entry)
        elif isinstance(entry, Computed | Linked):
            values[key] = entry.value(values)
    return values


def holds(constraints: Iterable[Expression], values: Values) -> bool:
    """Whether a draw keeps every constraint; one on a key that the draw lacks does not apply.

    A constraint that cannot be computed is not kept.
    """
    known = flat(values)
    for constraint in constraints:
        if not {*known, *constraint.constants}.issuperset(constraint.names):
            continue
        try:
            if not constraint.value(known):
                return False
        except ExpressionError:
            return False
    return True


def grid_points(space: Space, constraints: Constraints = ()) -> Iterator[Values]:
    """Every point of a space of finite entries, once; the last key varies fastest.

    Raises:
        ExpressionError: A derived value cannot be computed.
    """
    order = draw_order(space)

    def expand(index: int, values: Values) -> Iterator[Values]:
        if index == len(order):
            yield values
            return
        key = order[index]
        entry = space[key]
        if not entry.is_active(values):
            options: Iterable[Values] = [{}]
        elif isinstance(entry, Computed | Linked):
            options = [{key: entry.value(values)}]
        else:
            assert isinstance(entry, Choice), f"{key} has no finite number of values"
            options = ({key: value} for value in entry.values)
        for option in options:
            yield from expand(index + 1, {**values, **option})

    return (point for point in expand(0, {}) if holds(constraints, point))


def is_finite(space: Space) -> bool:
    """Whether a space has only so many points."""
    return all(isinstance(entry, Choice | Computed | Linked) for entry in space.values())


def grid_size(space: Space, constraints: Constraints = ()) -> int | None:
    """The number of `grid_points`, None when there is no end of them.

    Counts no further than one above `MAX_POINTS`.
    """
    if not is_finite(space):
        return None
    return sum(1 for _ in islice(grid_points(space, constraints), MAX_POINTS + 1))


def grid_part(space: Space) -> dict[str, Entry]:
    """The `grid` keys of a space, under those conditions that are on `grid` keys themselves."""
    grid = {key: found for key, found in space.items() if found.kind == "grid"}
    return {
        key: replace(found, when={k: v for k, v in found.when.items() if k in grid})
        for key, found in grid.items()
    }


def random_draw(
    space: Space,
    constraints: Constraints,
    cycle: list[Values],
    seed: int,
    number: int,
    fixed: Mapping[str, Any] | None = None,
) -> Values | None:
    """Trial `number`'s draw, which depends on the seed and that number alone.

    Args:
        space: The space.
        constraints: What a draw must keep; others are thrown away.
        cycle: The points of its `grid_part`, which trials take in turn.
        seed: The sweep's seed.
        number: 0-based number of the trial.
        fixed: Values that are given.

    Returns:
        The first draw of `MAX_DRAWS` that keeps the constraints; None if none does.
    """
    rng = np.random.default_rng([seed, number])
    given = {**(cycle[number % len(cycle)] if cycle else {}), **(fixed or {})}
    for _ in range(MAX_DRAWS):
        try:
            values = draw(
                space,
                lambda key, found: found.typed(given[key]) if key in given else sample(found, rng),
            )
        except ExpressionError:
            continue
        if holds(constraints, values):
            return values
    return None
