"""Checks the parameters of a space against one another: conditions, zips and expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweeps.space.distributions import Choice
from sweeps.space.expressions import Expression
from sweeps.space.parameters import ExpressionParameter, ZippedParameter, to_json
from sweeps.space.search_space import Constraints, Space, dependencies, draw_order, is_swept
from sweeps.spec.violations import Violation
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey


def check_parameters(space: Space) -> list[Violation]:
    """Returns the rules that parameters break between them, each with its path in the space."""
    violations: list[Violation] = [
        ((key, "when", parent), rule)
        for key, parameter in space.items()
        for parent, allowed in parameter.when.items()
        for rule in _check_condition(space, parent, allowed)
    ]
    for key, parameter in space.items():
        if isinstance(parameter, ZippedParameter):
            path = (key, "zip", parameter.source_key)
            violations += [(path, rule) for rule in _check_zip(space, parameter)]
    circle = _find_circle(space)
    if circle:
        rule = f"must not go round in a circle, found {' -> '.join([*circle, circle[0]])}"
        first, second = circle[0], [*circle, circle[0]][1]
        part = "when" if second in space[first].when else space[first].kind
        violations.append(((first, part), rule))
    return violations


def check_expressions(space: Space, constraints: Constraints) -> Iterator[Violation]:
    """Yields the keys in expressions that have no value, each with its path in the search file."""
    expressions: dict[PathKey, Expression] = {
        ("space", key, "expr"): parameter.expression
        for key, parameter in space.items()
        if isinstance(parameter, ExpressionParameter)
    }
    expressions |= {("constraints", number): e for number, e in enumerate(constraints)}
    for path, expression in expressions.items():
        for name in expression.names:
            if not is_swept(name, space) and name not in expression.constants:
                hint = suggestion(name, space)
                yield path, f"{name} is not a key of the space or the training config{hint}"


def _check_zip(space: Space, zipped: ZippedParameter) -> Iterator[str]:
    source = space.get(zipped.source_key)
    if source is None:
        yield f"must be a key of the space{suggestion(zipped.source_key, space)}"
    elif not isinstance(source, Choice):
        yield f"must be a choice or a grid of the space, found {source.kind}"
    elif len(source.values) != len(zipped.values):
        yield (
            f"must have a value for each of {zipped.source_key} ({len(source.values)}), "
            f"found {len(zipped.values)}"
        )


def _check_condition(space: Space, parent: str, allowed: tuple[Any, ...]) -> Iterator[str]:
    choice = space.get(parent)
    if choice is None:
        yield f"must be a key of the space{suggestion(parent, space)}"
    elif not isinstance(choice, Choice):
        yield f"must be a choice or a grid of the space, found {choice.kind}"
    else:
        values = [to_json(value) for value in choice.values]
        for text in map(to_json, allowed):
            if text not in values:
                yield f"must be a value of {parent} ({', '.join(values)}), found {text}"


def _find_circle(space: Space) -> list[str]:
    """Keys that each depend on the next, and the last on the first; empty without a circle."""
    order = draw_order(space)
    waiting = [key for key in space if key not in order]
    if not waiting:
        return []
    path = [waiting[0]]
    while path[-1] not in path[:-1]:
        path.append(next(key for key in dependencies(space, path[-1]) if key in waiting))
    return path[path.index(path[-1]) : -1]
