"""The search space: dotted key of the training config -> distribution; what is drawn from it.

A hyperparameter with a `when` that does not hold is absent from a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from sweeps.distributions import Choice, Distribution, sample, shown
from trainable.naming import suggestion
from trainable.yaml_reader import PathKey

Space = Mapping[str, Distribution]
Values = dict[str, Any]
"""Dotted key -> value, one draw from a space."""

MAX_POINTS = 100_000
"""A grid with more points is a mistake."""


def draw_order(space: Space) -> list[str]:
    """The keys so that every `when` names earlier ones, otherwise in the file's order.

    Keys whose conditions go round in a circle are left out; `condition_problems` names them.
    """
    order: dict[str, None] = {}
    left = list(space)
    while left:
        ready = next((k for k in left if not space[k].when.keys() & space.keys() - order), None)
        if ready is None:
            break
        left.remove(ready)
        order[ready] = None
    return list(order)


def draw(space: Space, pick: Callable[[str, Distribution], Any]) -> Values:
    """Draws once: asks `pick` for the value of every hyperparameter whose `when` holds.

    Args:
        space: The space; its conditions do not go round in a circle.
        pick: Called with a key and its distribution, parents before children.
    """
    values: Values = {}
    for key in draw_order(space):
        if space[key].is_active(values):
            values[key] = pick(key, space[key])
    return values


def grid_points(space: Space) -> Iterator[Values]:
    """Every point of a space of `choice` and `grid` alone, once; the last key varies fastest."""
    order = draw_order(space)

    def expand(index: int, values: Values) -> Iterator[Values]:
        if index == len(order):
            yield values
            return
        key = order[index]
        distribution = space[key]
        if not distribution.is_active(values):
            yield from expand(index + 1, values)
            return
        assert isinstance(distribution, Choice), f"{key} has no finite number of values"
        for value in distribution.values:
            yield from expand(index + 1, {**values, key: value})

    return expand(0, {})


def grid_size(space: Space) -> int | None:
    """The number of `grid_points`, None when there is no end of them.

    Counts no further than one above `MAX_POINTS`.
    """
    if not all(isinstance(found, Choice) for found in space.values()):
        return None
    return sum(1 for _ in islice(grid_points(space), MAX_POINTS + 1))


def grid_part(space: Space) -> dict[str, Distribution]:
    """The `grid` keys of a space, under those conditions that are on `grid` keys themselves."""
    grid = {key: found for key, found in space.items() if found.kind == "grid"}
    return {
        key: replace(found, when={k: v for k, v in found.when.items() if k in grid})
        for key, found in grid.items()
    }


def random_draw(space: Space, cycle: list[Values], seed: int, number: int) -> Values:
    """Trial `number`'s draw, which depends on the seed and that number alone.

    Args:
        space: The space.
        cycle: The points of its `grid_part`, which trials take in turn.
        seed: The sweep's seed.
        number: 0-based number of the trial.
    """
    rng = np.random.default_rng([seed, number])
    point = cycle[number % len(cycle)]
    return draw(
        space, lambda key, found: point[key] if found.kind == "grid" else sample(found, rng)
    )


def condition_problems(space: Space) -> list[tuple[PathKey, str]]:
    """What is wrong with the conditions themselves: where below the space, and the rule."""
    problems: list[tuple[PathKey, str]] = [
        ((key, "when", parent), rule)
        for key, found in space.items()
        for parent, allowed in found.when.items()
        for rule in _about_parent(space, parent, allowed)
    ]
    circle = _circle(space)
    if circle:
        rule = f"must not go round in a circle, found {' -> '.join([*circle, circle[0]])}"
        problems.append(((circle[0], "when"), rule))
    return problems


def _about_parent(space: Space, parent: str, allowed: tuple[Any, ...]) -> Iterator[str]:
    found = space.get(parent)
    if found is None:
        yield f"must be a key of the space{suggestion(parent, space)}"
    elif not isinstance(found, Choice):
        yield f"must be a choice or a grid of the space, found {found.kind}"
    else:
        known = [shown(value) for value in found.values]
        for text in map(shown, allowed):
            if text not in known:
                yield f"must be what {parent} can be ({', '.join(known)}), found {text}"


def _circle(space: Space) -> list[str]:
    """Keys of which each waits for the next and the last for the first; empty if none do."""
    order = draw_order(space)
    waiting = [key for key in space if key not in order]
    if not waiting:
        return []
    path = [waiting[0]]
    while path[-1] not in path[:-1]:
        path.append(next(parent for parent in space[path[-1]].when if parent in waiting))
    return path[path.index(path[-1]) : -1]
