"""Checks a space against the training config: whatever can be drawn must be a config.

Nothing here knows the config's rules; each value worth checking is put into the config, which is
then read as a trial would read it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sweeps.space.distributions import Choice, Distribution
from sweeps.space.parameters import Parameter, ZippedParameter, to_json
from sweeps.space.search_space import (
    Constraints,
    Space,
    Values,
    dependencies,
    draw,
    grid_points,
    satisfies,
)
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import flatten
from trainable.config.introspection import fields_of, names_of, options
from trainable.config.names import suggestion
from trainable.config.override import override
from trainable.config.yaml_reader import PathKey
from trainable.errors import ConfigError, Problem

MAX_CONTEXTS = 512
"""Combinations of the values that conditions depend on; more than a space has in practice."""

SHARED_KEYS = {
    "checkpoint", "progress", "tensorboard",
    "dataset.download", "dataset.num_workers", "dataset.root", "seed.enabled",
}  # fmt: skip
"""Sections and keys that are the same for every trial."""

Found = tuple[PathKey, str]
"""Where below the space, and the rule."""


def list_config_keys() -> list[str]:
    """Every section and dotted key that some training config has."""
    keys: dict[str, None] = {}
    for section, field in TrainConfig.model_fields.items():
        names = (name for kind in options(field.annotation) for name in fields_of(kind))
        keys |= dict.fromkeys([section, *(f"{section}.{name}" for name in names)])
    return list(keys)


def check_keys(space: Space) -> list[Found]:
    """The keys of a space that no training config has: where below the space, and the rule."""
    known = list_config_keys()
    return [((key,), _nearest(key, known)) for key in space if key not in known]


def _nearest(key: str, known: list[str]) -> str:
    section, _, name = key.partition(".")
    if section in known:
        names = [each.partition(".")[2] for each in known if each.startswith(f"{section}.")]
        return f"unknown key{suggestion(name, names)}"
    near = suggestion(key, known)
    return f"unknown key{near}" if near else f"unknown key: {section} is no section of a config"


def drop_keys(space: Space, keys: Collection[str]) -> dict[str, Parameter]:
    """A space without some keys and what depends on them."""
    left = {key: entry for key, entry in space.items() if key not in keys}
    while True:
        depending = {key for key in left if dependencies(space, key) - left.keys()}
        if not depending:
            return left
        left = {key: entry for key, entry in left.items() if key not in depending}


def check_configs(
    space: Space, constraints: Constraints, config: Mapping[str, Any]
) -> list[Found]:
    """What can be drawn from a space and is no valid training config.

    Every end of a range and every value of a choice is tried, under every combination of the
    values on which conditions and the sections' keys depend.

    Args:
        space: The space, without problems between its entries.
        constraints: Of the search file; what breaks them is not tried.
        config: The training config's plain values; its own problems are not repeated.
    """
    problems: dict[tuple[PathKey, str], str] = {}
    own = set(_problems_with(config, {}))
    contexts = [each for each in _contexts(space) if satisfies(constraints, each)]
    active: set[str] = set()
    for path, rule in [
        *_not_swept(space),
        *_tried(space, constraints, config, contexts, own, active),
    ]:
        # Both ends of a range often break the same rule, and a key is unknown in every context.
        problems.setdefault((path, re.split(", found |; did you", rule)[0]), rule)
    if len(contexts) < MAX_CONTEXTS:
        for key in space:
            if key not in active:
                rule = "never holds: no trial has these values together"
                problems[(key, "when"), rule] = rule
    return [(path, rule) for (path, _), rule in problems.items()]


def find_broken_draw(draws: Iterable[Values], config: Mapping[str, Any]) -> str | None:
    """The first of some draws that makes no config, although each of its values can."""
    for values in draws:
        for problem in _problems_with(config, values):
            pairs = ", ".join(f"{key}: {to_json(value)}" for key, value in values.items())
            return f"some draws break the training config, e.g. {{{pairs}}}: {_text(problem)}"
    return None


def _not_swept(space: Space) -> Iterator[Found]:
    for key, found in space.items():
        if {key, key.partition(".")[0]} & SHARED_KEYS:
            yield (key,), "must not be swept, it is the same for every trial; set it in config"
        values = found.values if isinstance(found, Choice | ZippedParameter) else ()
        for value in values:
            inner = flatten({key: value}, keep_mappings=True)
            for name in inner.keys() & SHARED_KEYS - {key}:
                yield (key,), f"must not sweep {name}, it is the same for every trial"
            model = inner.get("model.name")
            if isinstance(model, str) and ":" in model:
                yield (key,), f"must be built-in models in a space, found {to_json(model)}"


def _contexts(space: Space) -> list[Values]:
    """The combinations of what conditions name and what decides on a section's keys."""
    parents = {parent for found in space.values() for parent in found.when}
    sections = [section for section in TrainConfig.model_fields if _members(section)]
    names = {*sections, *(f"{section}.name" for section in sections)}
    deciding = {
        key: found
        for key, found in space.items()
        if isinstance(found, Choice) and (key in parents or key in names)
    }
    return list(islice(grid_points(deciding), MAX_CONTEXTS))


def _members(section: str) -> list[Any]:
    """The kinds of a section that is chosen by its `name`."""
    field = TrainConfig.model_fields.get(section)
    return [] if field is None else [kind for kind in options(field.annotation) if names_of(kind)]


def _tried(
    space: Space,
    constraints: Constraints,
    config: Mapping[str, Any],
    contexts: list[Values],
    own: set[Problem],
    active: set[str],
) -> Iterator[Found]:
    """Tries one value after the other, with the others at their first; notes active keys."""
    for context in contexts:
        first = _first(space, context)
        active.update(first)
        known = set(own)
        variants = [
            (_first(space, {**context, key: corner}), key)
            for key in first
            if key not in context
            for corner in _corners(space[key])
        ]
        for values, varied in [(first, None), *variants]:
            if not satisfies(constraints, values):
                continue
            for problem in _problems_with(config, values):
                # What a broken config does to the rest of it is not the space's fault.
                if problem not in known and (not own or problem.key in values):
                    yield _blame(space, values, varied, problem)
                    known |= {problem} if varied is None else set()


def _corners(entry: Parameter) -> tuple[Any, ...]:
    return entry.extremes if isinstance(entry, Distribution) else ()


def _first(space: Space, context: Values) -> Values:
    """The draw with the values of the context, and of the other keys the first ones."""
    return draw(space, lambda key, found: context[key] if key in context else found.extremes[0])


def _problems_with(config: Mapping[str, Any], values: Values) -> tuple[Problem, ...]:
    try:
        parse_config(override(config, values))
    except ConfigError as error:
        return error.problems
    return ()


def _blame(space: Space, values: Values, varied: str | None, problem: Problem) -> Found:
    """The key of the space that a problem of the training config comes from."""
    section, _, field = problem.key.partition(".")
    for key in values:
        if problem.key == key or problem.key.startswith(f"{key}["):
            return (key,), _lacking_condition(space, values, section, field) or problem.rule
        if problem.key.startswith(f"{key}."):
            return (key,), _text(problem)
        if problem.key and key.startswith(f"{problem.key}.") and varied in (None, key):
            return (key,), _text(problem)
    deciding = f"{section}.name"
    if varied is None and deciding in values:
        varied = deciding
    if varied is None:
        pairs = ", ".join(f"{key}: {to_json(value)}" for key, value in values.items())
        return (), f"with {{{pairs}}}: {_text(problem)}"
    return (varied,), f"with {to_json(values[varied])}: {_text(problem)}"


def _lacking_condition(space: Space, values: Values, section: str, field: str) -> str | None:
    """The `when` that a key lacks that only some of a section's kinds have."""
    deciding = f"{section}.name"
    kinds = [kind for kind in _members(section) if field in fields_of(kind)]
    owners = [name for kind in kinds for name in names_of(kind)]
    chosen = values.get(deciding)
    decider = space.get(deciding)
    if not isinstance(decider, Choice):
        return None
    if chosen is None or chosen in owners or field == "name":
        return None
    fitting = [name for name in decider.values if name in owners]
    if not fitting:
        return None
    wanted = fitting[0] if len(fitting) == 1 else f"[{', '.join(fitting)}]"
    return f"is not a key of {section} {chosen}; add when: {{{deciding}: {wanted}}}"


def _text(problem: Problem) -> str:
    return f"{problem.key}: {problem.rule}" if problem.key else problem.rule
