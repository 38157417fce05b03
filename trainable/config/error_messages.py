"""Turns pydantic's errors into problems written for the person who wrote the file.

Each problem has the dotted key without pydantic's own labels, its line, the rule and the value
that breaks it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from trainable.config.introspection import (
    OPEN_NAME,
    TAG_MARK,
    child_types,
    example_names,
    fields_of,
    names_of,
    types_at,
)
from trainable.config.names import suggestion
from trainable.config.synonyms import simplify
from trainable.config.yaml_reader import Document, PathKey, dotted, line_of
from trainable.config.yaml_resolver import read_scalar
from trainable.errors import Problem

_MAX_VALUE_CHARS = 60
"""Characters of a value that a message quotes."""


@dataclass(frozen=True)
class _Error:
    """One pydantic error and its place in the file."""

    path: PathKey
    """Keys and list positions in the file."""
    trail: PathKey
    """`path` with a step for every section that its `name` chooses."""
    union: PathKey | None
    """Path of the value on the way whose type is a union; None without one."""
    member: str | int
    """Member of the union that pydantic tried."""
    details: ErrorDetails


def find_problems(
    model: type[BaseModel], document: Document, errors: Iterable[ErrorDetails]
) -> list[Problem]:
    """Returns the problems behind pydantic's errors for `document.data`, in file order."""
    groups: dict[PathKey, list[_Error]] = {}
    for number, details in enumerate(errors):
        error = _locate(document.data, details)
        if not _is_echo(details):
            key = (-1, number) if error.union is None else error.union
            groups.setdefault(key, []).append(error)
    problems = [
        Problem(dotted(key), rule, line_of(document, key))
        for group in groups.values()
        for alternatives in _select_errors(group)
        for key, rule in _explain(model, alternatives)
    ]
    return sorted(problems, key=lambda problem: problem.line or 0)


def list_places(
    model: type[BaseModel], data: Any, errors: Iterable[ErrorDetails]
) -> Iterator[tuple[PathKey, str, str]]:
    """Yields where pydantic's errors for `data` are, in the file.

    Yields:
        (path, pydantic's error type, the key that an unknown key may have been meant as, or "").
    """
    for details in errors:
        error = _locate(data, details)
        meant = ""
        if details["type"] == "extra_forbidden":
            *around, key = error.trail
            own = {name for kind in types_at(model, around) for name in fields_of(kind)}
            meant = next(iter(difflib.get_close_matches(str(key), own, n=1)), "")
        yield error.path if error.union is None else error.union, details["type"], meant


def _is_echo(details: ErrorDetails) -> bool:
    """Returns whether pydantic calls a list too short because some of its items are wrong."""
    if details["type"] != "too_short":
        return False
    return len(details["input"]) >= int(details["ctx"]["min_length"])


def _locate(data: Any, details: ErrorDetails) -> _Error:
    """Separates keys from pydantic's labels in an error's location by walking the data."""
    path: PathKey = ()
    trail: PathKey = ()
    union: PathKey | None = None
    member: str | int = ""
    value = data
    for step in details["loc"]:
        if _contains(value, step):
            path, trail, value = (*path, step), (*trail, step), value[step]
        elif isinstance(step, str) and step.startswith(TAG_MARK):
            trail = (*trail, _with_own_name(step, value))
        elif details["type"] == "missing":
            path, trail = (*path, step), (*trail, step)
        elif union is None:
            union, member = path, step
    return _Error(path, trail, union, member, details)


def _with_own_name(step: str, value: Any) -> str:
    """Returns a step that stands for a section chosen by `name`, with the name in the file."""
    prefix, name = step.rsplit(TAG_MARK, 1)
    if name == OPEN_NAME and isinstance(value, Mapping):
        name = str(value.get("name"))
    return f"{prefix}{TAG_MARK}{name}"


def _contains(value: Any, step: str | int) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)


def _select_errors(errors: list[_Error]) -> Iterator[list[_Error]]:
    """Yields the errors of a union's value that a user needs, grouped by problem.

    Where the value fits a member except for something inside it, only that member's errors are
    reported. Otherwise one problem names all members.
    """
    members: dict[str | int, list[_Error]] = {}
    for error in errors:
        members.setdefault(error.member, []).append(error)
    fitting = [
        group
        for group in members.values()
        if all(e.path != e.union or e.details["type"] in _VALIDATOR_ERRORS for e in group)
    ]
    if fitting:
        yield from ([error] for error in min(fitting, key=len))
    else:
        yield [error for error in errors if error.path == error.union]


# ---------------------------------------------------------------------------- wording

_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "int_from_float": "must be an integer",
    "int_type": "must be an integer",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "multiple_of": "must be a multiple of {multiple_of}",
    "none_required": "must be null",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "tuple_type": "must be a list",
}
"""pydantic's error type -> the rule."""

_VALIDATOR_ERRORS = ("value_error", "assertion_error")
"""pydantic's error types for what the validators of this project raise."""

_EXPECTED_TYPES: dict[str, tuple[type, ...]] = {
    "bool_type": (bool,),
    "float_type": (int, float),
    "int_type": (int,),
}
"""pydantic's error type -> the types that quoted text may have been meant as."""

_Rule = tuple[PathKey, str]


def _explain(model: type[BaseModel], errors: list[_Error]) -> list[_Rule]:
    """Returns the key and rule of an error; several errors are alternatives of one union."""
    error = errors[0]
    details = error.details
    match details["type"]:
        case "missing":
            return [(error.path, "required key is missing")]
        case "extra_forbidden":
            return [(error.path, _explain_unknown_key(model, error.trail))]
        case "union_tag_invalid" | "union_tag_not_found":
            return _explain_name(model, error)
        case "invalid_key":
            return [
                (error.path[:-1], f"a key must be text, found {_format_value(details['input'])}")
            ]
    if len(errors) == 1 and details["type"] in _VALIDATOR_ERRORS:
        return [_explain_own_error(model, error)]
    rules = list(dict.fromkeys(_format_rule(e.details) for e in errors))
    rule = rules[0] + "".join(f" or {other.removeprefix('must be ')}" for other in rules[1:])
    shown = next((e.details for e in errors if e.details["type"] in _EXPECTED_TYPES), details)
    return [(error.path, f"{rule}, found {_format_found(shown)}")]


def _explain_unknown_key(model: type[BaseModel], trail: PathKey) -> str:
    *around, last = trail
    key = str(last)
    own = {name for kind in types_at(model, around) for name in fields_of(kind)}
    if around and str(around[-1]).startswith(TAG_MARK):
        rule = _explain_key_of_named_section(model, around, key, own)
        if rule is not None:
            return rule
    foreign = [getattr(kind, "foreign_keys", {}) for kind in types_at(model, around)]
    hint = next((keys[simplify(key)] for keys in foreign if simplify(key) in keys), None)
    if hint is not None:
        return f"unknown key; {hint}"
    if around and key in model.model_fields and key not in own:
        return "unknown key here; it belongs at the top level of the file"
    elsewhere = [
        f"{section}.{key}"
        for section in model.model_fields
        if any(key in fields_of(kind) for kind in types_at(model, [section]))
    ]
    if 0 < len(elsewhere) <= 3 and not difflib.get_close_matches(key, own, cutoff=0.75):
        return "unknown key; did you mean " + " or ".join(f'"{at}"' for at in elsewhere) + "?"
    return f"unknown key{suggestion(key, own)}"


def _explain_key_of_named_section(
    model: type[BaseModel], around: Sequence[str | int], key: str, own: set[str]
) -> str | None:
    """Returns the rule that an unknown key breaks in a section which its `name` chooses."""
    _, section, chosen = str(around[-1]).split(TAG_MARK)
    others = types_at(model, around[:-1])
    owners = [kind for kind in others if key in fields_of(kind)]
    names = sorted(name for kind in owners for name in names_of(kind) or example_names(kind))
    is_open = "args" in own and not any(chosen in names_of(kind) for kind in others)
    if is_open and (names or not difflib.get_close_matches(key, own)):
        elsewhere = f" but of {', '.join(names)}" if names else ""
        return (
            f"not a key of {section} {chosen}{elsewhere}; arguments of {chosen} go into "
            f"{section}.args"
        )
    return f"not a key of {section} {chosen}; it belongs to {', '.join(names)}" if names else None


def _explain_name(model: type[BaseModel], error: _Error) -> list[_Rule]:
    """Explains a missing or unknown `name` and reports keys that no member of the union has."""
    value = error.details["input"]
    members = types_at(model, error.trail)
    names = [name for kind in members for name in names_of(kind)]
    choices = f" (known: {', '.join(sorted(names))})"
    if not isinstance(value, Mapping):
        return [
            (error.path, f"must be a mapping with a name, found {_format_value(value)}{choices}")
        ]
    unknown = [
        ((*error.path, key), _explain_unknown_key(model, (*error.trail, key)))
        for key in value
        if not any(key in fields_of(kind) for kind in members)
    ]
    path = (*error.path, "name")
    if "name" not in value:
        return [(path, f"required key is missing{choices}"), *unknown]
    name = value["name"]
    hint = suggestion(name, names) if isinstance(name, str) else choices
    return [(path, f"unknown name, found {_format_value(name)}{hint}"), *unknown]


def _explain_own_error(model: type[BaseModel], error: _Error) -> _Rule:
    """Returns a validator's own text; a key of the section at its beginning names the place."""
    text = str(error.details.get("ctx", {}).get("error", error.details["msg"]))
    first, _, rest = text.partition(" ")
    kinds = types_at(model, error.trail)
    inner = _split_key(first.removesuffix(":"), error.details["input"], kinds)
    return ((*error.path, *inner), rest) if inner and rest else (error.path, text)


def _split_key(text: str, value: Any, kinds: Sequence[Any]) -> PathKey | None:
    """Splits a dotted text into keys; a key of a mapping may itself contain dots."""
    if not text:
        return ()
    keys = {str(key) for kind in kinds for key in fields_of(kind)}
    keys |= set(value) if isinstance(value, Mapping) else set()
    for key in sorted(keys, key=len, reverse=True):
        if text == key or text.startswith(f"{key}."):
            below = value.get(key) if isinstance(value, Mapping) else None
            under = [option for kind in kinds for option in child_types(kind, key)]
            rest = _split_key(text[len(key) + 1 :], below, under)
            if rest is not None:
                return (key, *rest)
    return None


def _format_rule(details: ErrorDetails) -> str:
    rule = _RULES.get(details["type"])
    context = dict(details.get("ctx", {}))
    for name, value in context.items():
        if isinstance(value, float) and value.is_integer():
            context[name] = int(value)
    if "expected" in context:
        context["expected"] = context["expected"].replace("'", '"')
    if rule is None:
        return details["msg"][:1].lower() + details["msg"][1:].replace("should be", "must be")
    return rule.format(**context)


def _format_found(details: ErrorDetails) -> str:
    """Formats the value, with its type if the type is the problem."""
    value, kind = details["input"], details["type"]
    if kind in ("too_short", "too_long"):
        return str(len(value))
    if not kind.endswith("_type") or value is None or isinstance(value, dict | list | tuple):
        return _format_value(value)
    return f"{_format_value(value)} ({_describe_type(value, kind)})"


def _describe_type(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return "boolean; put it in quotes" if kind == "string_type" else "boolean"
    if isinstance(value, int | float):
        name = "integer" if isinstance(value, int) else "number"
        return f"{name}; put it in quotes" if kind == "string_type" else name
    if not isinstance(value, str):
        return type(value).__name__
    meant = read_scalar(value)
    wanted = _EXPECTED_TYPES.get(kind, ())
    if isinstance(meant, wanted) and (bool in wanted or not isinstance(meant, bool)):
        return "text; remove the quotes"
    return "text"


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=not value.isprintable())
    else:
        text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."
