"""Checks a space against the training config: every draw must make a valid config.

The rules of the config are not repeated here. Each value worth checking is put into the config,
which is then parsed as for a trial.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, get_origin

from sweeps.space.distributions import Choice, Distribution
from sweeps.space.parameters import Parameter, ZippedParameter, to_json
from sweeps.space.search_space import (
    Constraints,
    Space,
    Values,
    draw,
    grid_points,
    satisfies,
    select_decided,
    select_swept,
)
from sweeps.spec.validation.violations import Violation
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import flatten
from trainable.config.introspection import (
    accepts_name,
    fields_of,
    is_chosen_by_name,
    options,
)
from trainable.config.names import suggestion
from trainable.config.override import override
from trainable.config.yaml_reader import PathKey
from trainable.errors import ConfigError, Problem

MAX_CONTEXTS = 512
"""Combinations that are tried of the values that conditions depend on."""

SHARED_KEYS = {
    "checkpoint", "metrics", "progress", "tensorboard",
    "dataset.classes", "dataset.download", "dataset.file", "dataset.group_column",
    "dataset.label_column", "dataset.num_workers", "dataset.path_column", "dataset.root",
    "dataset.split_column", "seed.enabled",
}  # fmt: skip
"""Sections and keys that are the same for every trial."""


@functools.cache
def list_config_keys() -> tuple[str, ...]:
    """Lists every section and dotted key that a training config can have."""
    return tuple(dict.fromkeys(_list_keys_of(TrainConfig)))


def _list_keys_of(kind: Any) -> Iterator[str]:
    for key in fields_of(kind):
        yield key
        for inner in options(kind.model_fields[key].annotation):
            yield from (f"{key}.{name}" for name in _list_keys_of(inner))


@functools.cache
def list_argument_keys() -> tuple[str, ...]:
    """Lists the keys of a training config that hold arguments of any name, e.g. `model.args`."""
    keys = (
        f"{section}.{key}"
        for section, field in TrainConfig.model_fields.items()
        for kind in options(field.annotation)
        for key in fields_of(kind)
        if any(get_origin(inner) is dict for inner in options(kind.model_fields[key].annotation))
    )
    return tuple(dict.fromkeys(keys))


def is_argument(key: str) -> bool:
    """Returns whether a dotted key is that of an argument, e.g. `model.args.drop_path_rate`."""
    return any(key.startswith(f"{arguments}.") for arguments in list_argument_keys())


def check_keys(keys: Iterable[str]) -> list[Violation]:
    """Returns those keys of a space that no training config has."""
    config_keys = list_config_keys()
    return [
        ((key,), _explain_unknown_key(key, config_keys))
        for key in keys
        if key not in config_keys and not is_argument(key)
    ]


def _explain_unknown_key(key: str, config_keys: Collection[str]) -> str:
    *sections, name = key.split(".")
    while sections and ".".join(sections) not in config_keys:
        name = sections.pop()
    if sections:
        prefix = ".".join([*sections, ""])
        below = (k.removeprefix(prefix) for k in config_keys if k.startswith(prefix))
        return f"unknown key{suggestion(name, [k for k in below if '.' not in k])}"
    hint = suggestion(key, config_keys)
    return f"unknown key{hint}" if hint else f"unknown key: a config has no section {name}"


def drop_keys(space: Space, keys: Collection[str]) -> dict[str, Parameter]:
    """Returns a space without some keys and without the parameters that depend on them.

    Args:
        space: The space.
        keys: The keys; the space need not have them.
    """
    dropped = set(keys)
    while True:
        remaining = {key: parameter for key, parameter in space.items() if key not in dropped}
        dependent = {key for key, p in remaining.items() if select_swept(dropped, p.parents)}
        if not dependent:
            return remaining
        dropped |= dependent


def check_configs(
    space: Space, constraints: Constraints, config: Mapping[str, Any]
) -> list[Violation]:
    """Returns the values that can be drawn from a space but make no valid training config.

    Every end of a range and every value of a choice is tried, in every combination of the values
    that conditions and the keys of sections depend on.

    Args:
        space: A space whose parameters agree with one another.
        constraints: The constraints of the search file; draws that break them are not tried.
        config: The training config's plain values; its own problems are not repeated.
    """
    rules: dict[tuple[PathKey, str], str] = {}
    contexts = _list_contexts(space)
    are_all_listed = len(contexts) < MAX_CONTEXTS
    decided = select_decided(constraints, space, {key for context in contexts for key in context})
    kept = [context for context in contexts if satisfies(decided, context)]
    if not kept:  # nothing can be drawn, which is reported for the constraints
        kept, constraints = contexts, ()
    active: set[str] = set()
    for path, rule in [
        *_check_shared_keys(space),
        *_try_values(space, constraints, config, kept, active),
    ]:
        # Both ends of a range often break the same rule.
        is_range = not isinstance(space.get(str(path[0])) if path else None, Choice)
        rules.setdefault((path, rule.partition(", found ")[0] if is_range else rule), rule)
    if are_all_listed:
        for key, parameter in space.items():
            if key not in active and parameter.when:
                rule = "never holds: no trial has these values together"
                rules[(key, "when"), rule] = rule
    return [(path, rule) for (path, _), rule in rules.items()]


def find_broken_draw(draws: Iterable[Values], config: Mapping[str, Any]) -> str | None:
    """Describes the first draw that makes no valid config, though each of its values does."""
    for values in draws:
        for problem in _find_problems(config, values):
            text = _format_problem(problem)
            return f"some draws break the training config, e.g. {_format_draw(values)}: {text}"
    return None


def _check_shared_keys(space: Space) -> Iterator[Violation]:
    for key, parameter in space.items():
        if {key, key.partition(".")[0]} & SHARED_KEYS:
            yield (key,), "must not be swept, it is the same for every trial; set it in config"
        values = parameter.values if isinstance(parameter, Choice | ZippedParameter) else ()
        for value in values:
            flat = flatten({key: value}, keep_mappings=True)
            for name in flat.keys() & SHARED_KEYS - {key}:
                yield (key,), f"must not sweep {name}, it is the same for every trial"
            path = flat.get("model.pretrained")
            if isinstance(path, str) and not Path(path).is_absolute():
                yield (key,), f"must have absolute paths in a space, found {path}"


def _list_contexts(space: Space) -> list[Values]:
    """Lists the combinations of the values that conditions name and that choose a section's kind.

    At most `MAX_CONTEXTS` of them.
    """
    parents = {parent for parameter in space.values() for parent in parameter.when}
    sections = [section for section in TrainConfig.model_fields if list_kinds(section)]
    names = {*sections, *(f"{section}.name" for section in sections)}
    deciding = {
        key: parameter
        for key, parameter in space.items()
        if isinstance(parameter, Choice) and (key in parents or key in names)
    }
    return list(islice(grid_points(deciding), MAX_CONTEXTS))


def list_kinds(section: str) -> list[Any]:
    """Lists the kinds of a section that is chosen by its `name`; none for other sections."""
    field = TrainConfig.model_fields.get(section)
    kinds = [] if field is None else options(field.annotation)
    return [kind for kind in kinds if is_chosen_by_name(kind)]


def _try_values(
    space: Space,
    constraints: Constraints,
    config: Mapping[str, Any],
    contexts: list[Values],
    active: set[str],
) -> Iterator[Violation]:
    """Tries one value after the other, with the first value of every other key.

    Args:
        space: The space.
        constraints: Draws that break them are not tried.
        config: The training config's plain values.
        contexts: The combinations to try the values in.
        active: Receives the keys that exist in some context.
    """
    own = set(_find_problems(config, {}))
    for context in contexts:
        first = _draw_first(space, context)
        active.update(first)
        reported = set(own)
        variants = [
            (_draw_first(space, {**context, key: value}), key)
            for key in first
            if key not in context
            for value in _list_extremes(space[key])
        ]
        for values, varied in [(first, None), *variants]:
            if not satisfies(constraints, values):
                continue
            for problem in _find_problems(config, values):
                # A broken config can break other keys; the space is not to blame for them.
                if problem not in reported and (not own or problem.key in values):
                    yield _attribute(space, values, varied, problem)
                    reported |= {problem} if varied is None else set()


def _list_extremes(parameter: Parameter) -> tuple[Any, ...]:
    return parameter.extremes if isinstance(parameter, Distribution) else ()


def _draw_first(space: Space, context: Values) -> Values:
    """Draws the context's values, and the first value of every other key."""

    def pick(key: str, distribution: Distribution) -> Any:
        return context[key] if key in context else distribution.extremes[0]

    return draw(space, pick)


def _find_problems(config: Mapping[str, Any], values: Values) -> tuple[Problem, ...]:
    try:
        parse_config(override(config, values))
    except ConfigError as error:
        return error.problems
    return ()


def _attribute(space: Space, values: Values, varied: str | None, problem: Problem) -> Violation:
    """Attributes a problem of the training config to the key of the space that causes it."""
    section = problem.key.partition(".")[0]
    for key in values:
        if problem.key == key or problem.key.startswith(f"{key}["):
            return (key,), _explain_missing_condition(space, values, problem.key) or problem.rule
        if problem.key.startswith(f"{key}."):
            return (key,), _format_problem(problem)
        if problem.key and key.startswith(f"{problem.key}.") and varied in (None, key):
            return (key,), _format_problem(problem)
    if varied is None and f"{section}.name" in values:
        varied = f"{section}.name"
    if varied is None:
        return (), f"with {_format_draw(values)}: {_format_problem(problem)}"
    return (varied,), f"with {to_json(values[varied])}: {_format_problem(problem)}"


def _explain_missing_condition(space: Space, values: Values, key: str) -> str | None:
    """Suggests a `when` for a key that only some kinds of its section have."""
    section, _, field = key.partition(".")
    name_key = f"{section}.name"
    kinds = [kind for kind in list_kinds(section) if field in fields_of(kind)]
    name = values.get(name_key)
    choice = space.get(name_key)
    if not isinstance(choice, Choice):
        return None
    if name is None or _is_name_of_any(kinds, name) or field == "name":
        return None
    fitting = [value for value in choice.values if _is_name_of_any(kinds, value)]
    if not fitting:
        return None
    allowed = fitting[0] if len(fitting) == 1 else f"[{', '.join(fitting)}]"
    return f"is not a key of {section} {name}; add when: {{{name_key}: {allowed}}}"


def _is_name_of_any(kinds: Iterable[Any], name: Any) -> bool:
    return any(accepts_name(kind, name) for kind in kinds)


def _format_draw(values: Values) -> str:
    return "{" + ", ".join(f"{key}: {to_json(value)}" for key, value in values.items()) + "}"


def _format_problem(problem: Problem) -> str:
    return f"{problem.key}: {problem.rule}" if problem.key else problem.rule
