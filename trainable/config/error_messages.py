"""Turns pydantic's errors into problems written for the person who wrote the file.

Each has the dotted key without pydantic's own labels, its line, the rule and what was found.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from trainable.config.introspection import MARK, fields_of, inside, kinds_at, names_of
from trainable.config.names import suggestion
from trainable.config.yaml_reader import Document, PathKey, dotted
from trainable.config.yaml_resolver import read_scalar
from trainable.errors import Problem

_MAX_SHOWN = 60
"""Characters of a found value in a message."""


@dataclass(frozen=True)
class _Error:
    """One pydantic error and where it lies."""

    path: PathKey
    """Keys and list positions of the file."""
    trail: PathKey
    """`path` with the choices by name in it."""
    union: PathKey | None
    """Path of the value that may be of several kinds, if there is one on the way."""
    kind: str | int
    """Which of these kinds pydantic tried."""
    details: ErrorDetails


def find_problems(
    model: type[BaseModel], document: Document, errors: Iterable[ErrorDetails]
) -> list[Problem]:
    """The problems behind the errors of validating `document.data`, in file order."""
    groups: dict[PathKey, list[_Error]] = {}
    for number, details in enumerate(errors):
        error = _locate(document.data, details)
        if not _is_echo(details):
            alone = (-1, number)
            groups.setdefault(alone if error.union is None else error.union, []).append(error)
    problems = [
        Problem(dotted(key), rule, _line(document, key))
        for together in groups.values()
        for alternatives in _choose(together)
        for key, rule in _explain(model, alternatives)
    ]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _is_echo(details: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short because some of its items are wrong."""
    if details["type"] != "too_short":
        return False
    return len(details["input"]) >= int(details["ctx"]["min_length"])


def _locate(data: Any, details: ErrorDetails) -> _Error:
    """Tells the steps of a location that are keys from pydantic's labels, by walking the data."""
    path: PathKey = ()
    trail: PathKey = ()
    union: PathKey | None = None
    kind: str | int = ""
    value = data
    for step in details["loc"]:
        if _holds(value, step):
            path, trail, value = (*path, step), (*trail, step), value[step]
        elif isinstance(step, str) and step.startswith(MARK):
            trail = (*trail, step)
        elif details["type"] == "missing":
            path, trail = (*path, step), (*trail, step)
        elif union is None:
            union, kind = path, step
    return _Error(path, trail, union, kind, details)


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)


def _choose(errors: list[_Error]) -> Iterator[list[_Error]]:
    """Splits the errors of a value that may be of several kinds into what is worth telling.

    A kind that fits but for something inside of it stands alone; else one problem names all.
    """
    kinds: dict[str | int, list[_Error]] = {}
    for error in errors:
        kinds.setdefault(error.kind, []).append(error)
    fitting = [
        group
        for group in kinds.values()
        if all(e.path != e.union or e.details["type"] in _OWN_TEXT for e in group)
    ]
    if fitting:
        yield from ([error] for error in min(fitting, key=len))
    else:
        yield [error for error in errors if error.path == error.union]


def _line(document: Document, path: PathKey) -> int | None:
    """The line of the key, or of the nearest section around it."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((document.lines[key] for key in around if key in document.lines), None)


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

_OWN_TEXT = ("value_error", "assertion_error")
"""pydantic's types of errors that our own validators raise."""

_WANTED: dict[str, tuple[type, ...]] = {
    "bool_type": (bool,),
    "float_type": (int, float),
    "int_type": (int,),
}
"""pydantic's error type -> what text in quotes may have been meant to be."""

_Rule = tuple[PathKey, str]


def _explain(model: type[BaseModel], errors: list[_Error]) -> list[_Rule]:
    """Keys and rules of an error; several errors are the kinds of value that would do."""
    error = errors[0]
    details = error.details
    match details["type"]:
        case "missing":
            return [(error.path, "required key is missing")]
        case "extra_forbidden":
            return [(error.path, _about_unknown_key(model, error.trail))]
        case "union_tag_invalid" | "union_tag_not_found":
            return _about_name(model, error)
        case "invalid_key":
            return [(error.path[:-1], f"a key must be text, found {_show(details['input'])}")]
    if len(errors) == 1 and details["type"] in _OWN_TEXT:
        return [_about_value(model, error)]
    rules = list(dict.fromkeys(_rule(e.details) for e in errors))
    rule = rules[0] + "".join(f" or {other.removeprefix('must be ')}" for other in rules[1:])
    telling = next((e.details for e in errors if e.details["type"] in _WANTED), details)
    return [(error.path, f"{rule}, found {_found(telling)}")]


def _about_unknown_key(model: type[BaseModel], trail: PathKey) -> str:
    *around, last = trail
    key = str(last)
    own = {name for kind in kinds_at(model, around) for name in fields_of(kind)}
    if around and str(around[-1]).startswith(MARK):
        _, section, chosen = str(around[-1]).split(MARK)
        others = kinds_at(model, around[:-1])
        names = sorted(n for kind in others if key in fields_of(kind) for n in names_of(kind))
        if names:
            return f"not a key of {section} {chosen}; it belongs to {', '.join(names)}"
    if around and key in model.model_fields and key not in own:
        return "unknown key here; it belongs at the top level of the file"
    elsewhere = [
        f"{section}.{key}"
        for section in model.model_fields
        if any(key in fields_of(kind) for kind in kinds_at(model, [section]))
    ]
    if 0 < len(elsewhere) <= 3 and not difflib.get_close_matches(key, own, cutoff=0.75):
        return "unknown key; did you mean " + " or ".join(f'"{at}"' for at in elsewhere) + "?"
    return f"unknown key{suggestion(key, own)}"


def _about_name(model: type[BaseModel], error: _Error) -> list[_Rule]:
    """A section whose `name` says nothing, and the keys that it has under no name."""
    found = error.details["input"]
    members = kinds_at(model, error.trail)
    names = [name for kind in members for name in names_of(kind)]
    known = f" (known: {', '.join(sorted(names))})"
    if not isinstance(found, Mapping):
        return [(error.path, f"must be a mapping with a name, found {_show(found)}{known}")]
    unknown = [
        ((*error.path, key), _about_unknown_key(model, (*error.trail, key)))
        for key in found
        if not any(key in fields_of(kind) for kind in members)
    ]
    path = (*error.path, "name")
    if "name" not in found:
        return [(path, f"required key is missing{known}"), *unknown]
    name = found["name"]
    near = suggestion(name, names) if isinstance(name, str) else known
    return [(path, f"unknown name, found {_show(name)}{near}"), *unknown]


def _about_value(model: type[BaseModel], error: _Error) -> _Rule:
    """A validator's own text; when it begins with a key of its section, that is the key."""
    text = str(error.details.get("ctx", {}).get("error", error.details["msg"]))
    first, _, rest = text.partition(" ")
    kinds = kinds_at(model, error.trail)
    inner = _split(first.removesuffix(":"), error.details["input"], kinds)
    return ((*error.path, *inner), rest) if inner and rest else (error.path, text)


def _split(text: str, value: Any, kinds: Sequence[Any]) -> PathKey | None:
    """The keys that a dotted text names, where a key of a mapping may itself have dots."""
    if not text:
        return ()
    keys = {str(key) for kind in kinds for key in fields_of(kind)}
    keys |= set(value) if isinstance(value, Mapping) else set()
    for key in sorted(keys, key=len, reverse=True):
        if text == key or text.startswith(f"{key}."):
            below = value.get(key) if isinstance(value, Mapping) else None
            under = [option for kind in kinds for option in inside(kind, key)]
            rest = _split(text[len(key) + 1 :], below, under)
            if rest is not None:
                return (key, *rest)
    return None


def _rule(details: ErrorDetails) -> str:
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


def _found(details: ErrorDetails) -> str:
    """The found value, and its type when the type is the problem."""
    value, kind = details["input"], details["type"]
    if kind in ("too_short", "too_long"):
        return str(len(value))
    if not kind.endswith("_type") or value is None or isinstance(value, dict | list | tuple):
        return _show(value)
    return f"{_show(value)} ({_type(value, kind)})"


def _type(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        name = "integer" if isinstance(value, int) else "number"
        return f"{name}; put it in quotes" if kind == "string_type" else name
    if not isinstance(value, str):
        return type(value).__name__
    meant = read_scalar(value)
    wanted = _WANTED.get(kind, ())
    if isinstance(meant, wanted) and (bool in wanted or not isinstance(meant, bool)):
        return "text; remove the quotes"
    return "text"


def _show(value: Any) -> str:
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
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
