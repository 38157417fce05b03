"""Checks the parameters of a space against one another: conditions, zips and expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweeps.space.distributions import Choice
from sweeps.space.expressions import Expression, ExpressionError
from sweeps.space.parameters import ExpressionParameter, ZippedParameter, to_json
from sweeps.space.search_space import (
    Constraints,
    Space,
    Values,
    dependencies,
    draw_order,
    satisfies,
    select_decided,
)
from sweeps.spec.validation.space import is_argument, list_config_keys, list_kinds
from sweeps.spec.validation.violations import Violation
from trainable.config import TrainConfig
from trainable.config.introspection import fields_of, kind_of_name, names_of
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


def check_expressions(
    space: Space, constraints: Constraints, config: Mapping[str, Any]
) -> Iterator[Violation]:
    """Yields the keys in expressions that no trial has, each with its path in the search file.

    Args:
        space: The space.
        constraints: The constraints of the search file.
        config: The training config's plain values.
    """
    expressions: dict[PathKey, Expression] = {
        ("space", key, "expr"): parameter.expression
        for key, parameter in space.items()
        if isinstance(parameter, ExpressionParameter)
    }
    expressions |= {("constraints", number): e for number, e in enumerate(constraints)}
    for path, expression in expressions.items():
        for name in expression.names:
            rule = _explain_missing_key(name, space, config)
            if rule is not None:
                yield path, f"{name} {rule}"


def explain_constraints(
    space: Space, part: Space, constraints: Constraints, draws: Sequence[Values], noun: str
) -> list[Violation]:
    """Explains why constraints leave nothing to try.

    Args:
        space: The space.
        part: The part of it that was drawn.
        constraints: The constraints of the search file.
        draws: Draws from that part, without regard to the constraints.
        noun: What the message calls them.

    Returns:
        The constraints that no draw keeps, with their constants; if there is none, one violation
        for all of them together.
    """
    violations: list[Violation] = []
    decided = select_decided(constraints, space, part)
    for number, constraint in enumerate(constraints):
        if constraint not in decided or any(satisfies([constraint], draw) for draw in draws):
            continue
        rule = f"leaves nothing to try: none of {len(draws)} {noun} keeps it"
        reasons = _explain_broken(constraint, draws)
        violations.append((("constraints", number), "; ".join([rule, *reasons])))
    rule = f"leave nothing to try together: none of {len(draws)} {noun} keeps all of them"
    return violations or [(("constraints",), rule)]


def _explain_broken(constraint: Expression, draws: Sequence[Values]) -> Iterator[str]:
    """Yields why a constraint cannot be computed, and its keys with one value in all draws."""
    try:
        for values in draws:
            constraint.value(values)
    except ExpressionError as error:
        yield f"it cannot be computed: {error}"
    inputs = [constraint.inputs(values) for values in draws]
    for key in constraint.names:
        texts = {to_json(values.get(key)) for values in inputs}
        if len(texts) == 1:
            yield f"{key} is {texts.pop()} in all of them"


def _explain_missing_key(name: str, space: Space, config: Mapping[str, Any]) -> str | None:
    """The reason why no trial has a value of a key; None if one can have it."""
    keys = list_config_keys()
    section, _, key = name.partition(".")
    below = [other.partition(".")[2] for other in keys if other.startswith(f"{section}.")]
    own = [other for other in below if "." not in other]
    if name == section and section in keys:
        return f"is a section, not a value; name one of its keys ({', '.join(sorted(own))})"
    if name not in keys and not is_argument(name):
        hint = suggestion(key, own) if own else suggestion(name, keys)
        return f"is not a key of the space or the training config{hint}"
    kinds = list_kinds(section)
    possible = _list_possible_names(section, space, config)
    chosen_kinds = [kind_of_name(kinds, name) for name in possible]
    if not possible or None in chosen_kinds:
        return None
    key = key.partition(".")[0]
    if any(key in fields_of(kind) for kind in chosen_kinds):
        return None
    owners = [name for kind in kinds if key in fields_of(kind) for name in names_of(kind)]
    chosen = ", ".join(sorted(possible))
    return f"is not a key of {section} {chosen}; it belongs to {', '.join(owners)}"


def _list_possible_names(section: str, space: Space, config: Mapping[str, Any]) -> set[Any]:
    """The values that the `name` of a section can have; empty if they are not known."""
    own = config.get(section)
    default = getattr(TrainConfig.model_fields[section].get_default(), "name", None)
    names = {own.get("name", default) if isinstance(own, Mapping) else default}
    for key in (section, f"{section}.name"):  # the second wins
        parameter = space.get(key)
        if parameter is None:
            continue
        if not isinstance(parameter, Choice | ZippedParameter):
            return set()
        choices = {_name_in(value) if key == section else value for value in parameter.values}
        is_always_set = not parameter.when and None not in choices
        names = (set() if is_always_set else names) | choices
    return names - {None}


def _name_in(value: Any) -> Any:
    return value.get("name") if isinstance(value, Mapping) else None


def _check_zip(space: Space, zipped: ZippedParameter) -> Iterator[str]:
    source = space.get(zipped.source_key)
    if source is None:
        yield f"must be a key of the space{suggestion(zipped.source_key, space)}"
    elif not isinstance(source, Choice):
        yield f"must be a choice or a grid of the space, found {source.label}"
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
        yield f"must be a choice or a grid of the space, found {choice.label}"
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
