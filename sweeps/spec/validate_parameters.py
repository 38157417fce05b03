"""What must agree between the entries of a space: conditions, links and expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweeps.space.distributions import Choice
from sweeps.space.expressions import Expression
from sweeps.space.parameters import ExpressionParameter, ZippedParameter, to_json
from sweeps.space.search_space import Constraints, Space, dependencies, draw_order, is_swept
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey

Found = tuple[PathKey, str]
"""Where, and the rule."""


def check_parameters(space: Space) -> list[Found]:
    """What is wrong between the entries themselves: where below the space, and the rule."""
    problems: list[Found] = [
        ((key, "when", parent), rule)
        for key, found in space.items()
        for parent, allowed in found.when.items()
        for rule in _about_parent(space, parent, allowed)
    ]
    for key, found in space.items():
        if isinstance(found, ZippedParameter):
            problems += [
                ((key, "zip", found.source_key), rule) for rule in _about_leader(space, found)
            ]
    circle = _circle(space)
    if circle:
        rule = f"must not go round in a circle, found {' -> '.join([*circle, circle[0]])}"
        first, second = circle[0], [*circle, circle[0]][1]
        where = "when" if second in space[first].when else space[first].kind
        problems.append(((first, where), rule))
    return problems


def check_expressions(space: Space, constraints: Constraints) -> Iterator[Found]:
    """Which keys in expressions have no value: where in the search file, and the rule."""
    found: dict[PathKey, Expression] = {
        ("space", key, "expr"): entry.expression
        for key, entry in space.items()
        if isinstance(entry, ExpressionParameter)
    }
    found |= {("constraints", number): each for number, each in enumerate(constraints)}
    for path, expression in found.items():
        for name in expression.names:
            if not is_swept(name, space) and name not in expression.constants:
                hint = suggestion(name, space)
                yield path, f"{name} is no key of the space or the training config{hint}"


def _about_leader(space: Space, found: ZippedParameter) -> Iterator[str]:
    source_key = space.get(found.source_key)
    if source_key is None:
        yield f"must be a key of the space{suggestion(found.source_key, space)}"
    elif not isinstance(source_key, Choice):
        yield f"must be a choice or a grid of the space, found {source_key.kind}"
    elif len(source_key.values) != len(found.values):
        yield (
            f"must have a value for each of {found.source_key} ({len(source_key.values)}), "
            f"found {len(found.values)}"
        )


def _about_parent(space: Space, parent: str, allowed: tuple[Any, ...]) -> Iterator[str]:
    found = space.get(parent)
    if found is None:
        yield f"must be a key of the space{suggestion(parent, space)}"
    elif not isinstance(found, Choice):
        yield f"must be a choice or a grid of the space, found {found.kind}"
    else:
        known = [to_json(value) for value in found.values]
        for text in map(to_json, allowed):
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
        path.append(next(parent for parent in dependencies(space, path[-1]) if parent in waiting))
    return path[path.index(path[-1]) : -1]
