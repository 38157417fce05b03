"""`--set KEY=VALUE` on the command line: reads values and puts them into a file's values.

Keys that are set get the line `SET_LINE`, by which messages about them name the command line.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import NoneType
from typing import Any

from pydantic import BaseModel

from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.origin import SET_LINE
from sweeps.spec.settings import Tune
from trainable.config import TrainConfig
from trainable.config.introspection import names_of, options, types_at
from trainable.config.override import override
from trainable.config.yaml_reader import Document, PathKey, parse_text, parse_value
from trainable.errors import ConfigError, Problem

RANGE_FORM = ("min", "max", "log")
PARAMETER_KEYS = (*ARGUMENTS, *RANGE_FORM, "values", "value", "weights", "when")
"""Keys of a parameter. In `space.KEY.choice=[1, 2]` they mark the end of its dotted key."""

PLAIN_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""Numbers that YAML and Python read alike."""
QUOTED = re.compile(r"""(['"]).*\1""")
"""Text in quotes, which the value does not have."""


def parse_assignments(assignments: Iterable[str], model: type[BaseModel]) -> dict[str, Any]:
    """Parses texts `KEY=VALUE` to a mapping of dotted keys (see `parse_value`).

    The value of a key that takes only text is the text as typed, without quotes around it; `null`
    is null for every key. A value that is read as something else than it looks like is logged.

    Args:
        assignments: The texts.
        model: The file that the keys belong to: `SearchSpec` or `TrainConfig`.

    Raises:
        ConfigError: A text is not `KEY=VALUE` or sets a key again; all such texts are listed.
    """
    values: dict[str, Any] = {}
    problems = []
    for text in assignments:
        key, equals, value = text.partition("=")
        key, value = key.strip(), value.strip() if key.endswith(" ") else value
        if not equals or not all(key.split(".")):
            problems.append(Problem("", f"--set takes KEY=VALUE, found {text!r}"))
        elif key in values:
            problems.append(Problem(key, f"must be set once, found --set {text!r} after another"))
        else:
            values[key] = None
            try:
                values[key] = _parse_value(key, value, model)
            except ConfigError as error:
                problems.append(Problem(key, error.problems[0].rule))
    if problems:
        raise ConfigError("the command line", problems)
    return values


def check_assignments(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dotted keys with their values, as `parse_assignments` does for texts.

    Raises:
        ConfigError: A key is no dotted key; all such keys are listed.
    """
    problems = [
        Problem("", f"set takes dotted keys such as tune.num_samples, found {key!r}")
        for key in assignments
        if not isinstance(key, str) or not all(key.split("."))
    ]
    if problems:
        raise ConfigError("set", problems)
    return dict(assignments)


def _parse_value(key: str, typed: str, model: type[BaseModel]) -> Any:
    """Reads the value behind a key; logs what is read as something else than it looks like."""
    text = typed.strip()
    is_text = _takes_only_text(key, model)
    if is_text and not QUOTED.fullmatch(text):
        value = None if text.lower() == "null" else parse_text(typed, "--set")
    else:
        value = parse_value(text, "--set")
    if not is_text and _looks_different(text, value):
        shown = "null" if value is None else value
        logging.getLogger(__name__).warning("note: --set %s=%s is read as %s", key, typed, shown)
    return value


def _takes_only_text(key: str, model: type[BaseModel]) -> bool:
    path = tuple(key.split("."))
    if model is not TrainConfig:
        model, path = (TrainConfig, path[1:]) if path[0] == "config" else (model, _split_key(key))
    kinds = set(types_at(model, path))
    return str in kinds and kinds <= {str, NoneType}


def _looks_different(text: str, value: Any) -> bool:
    """Returns whether a text does not spell out what it is read as: `~`, `0x10`, `1_000`."""
    if isinstance(value, bool | str | list | dict):
        return False
    return text.lower() != "null" if value is None else PLAIN_NUMBER.fullmatch(text) is None


def select_config_keys(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the assignments below `config`, by their keys in the training config."""
    prefix = "config."
    return {k.removeprefix(prefix): v for k, v in assignments.items() if k.startswith(prefix)}


def set_search_keys(
    document: Document, assignments: Mapping[str, Any]
) -> tuple[Document, list[Problem]]:
    """Sets the keys of a search file that are not below `config`.

    A value replaces the one in the file. Another `name` of an algorithm drops the keys that the
    new algorithm does not have.

    Returns:
        The changed file, and the problems of keys that could not be set.
    """
    data, lines = copy.deepcopy(document.data), dict(document.lines)
    problems = []
    for key, value in assignments.items():
        if not key.startswith("config."):
            path = _split_key(key)
            try:
                _set_value(data, path, value)
            except ValueError as error:
                problems.append(Problem(key, str(error), SET_LINE))
            else:
                _mark_as_set(lines, path)
    return Document(data, lines, document.source), problems


def set_config_keys(document: Document, values: Mapping[str, Any]) -> Document:
    """Sets dotted keys of a training config as `trainable.config.override` does.

    Raises:
        ConfigError: A key lies below a value that is not a mapping.
    """
    lines = dict(document.lines)
    for key in values:
        _mark_as_set(lines, tuple(key.split(".")))
    return Document(override(document.data, values), lines, document.source)


def add_causes(
    problems: Iterable[Problem], without: Mapping[str, Collection[Problem]]
) -> list[Problem]:
    """Adds to each problem of another key which assignments cause it.

    Args:
        problems: The problems of the file together with all assignments.
        without: Assigned key -> the problems without that assignment.
    """
    result = []
    for problem in problems:
        causes = [key for key, others in without.items() if problem not in others]
        if causes and not problem.key.startswith("--set "):
            rule = f"{problem.rule} (with --set {', '.join(causes)})"
            problem = replace(problem, rule=rule)
        result.append(problem)
    return result


def _split_key(key: str) -> tuple[str, ...]:
    """Splits a dotted key into the keys of the file; keys of a space contain dots themselves."""
    first, *rest = key.split(".")
    if first != "space" or not rest:
        return (first, *rest)
    end = next((at for at in range(1, len(rest)) if rest[at] in PARAMETER_KEYS), len(rest))
    kind = [rest[end]] if end < len(rest) else []
    below = [".".join(rest[end + 1 :])] if end + 1 < len(rest) else []
    return ("space", ".".join(rest[:end]), *kind, *below)


def _set_value(data: Any, path: tuple[str, ...], value: Any) -> None:
    """Sets one value in place and creates the mappings on the way to it.

    Raises:
        ValueError: The key belongs to the training config, or another value than a mapping is in
            the way.
    """
    if len(path) > 1 and path[0] not in data and path[0] in TrainConfig.model_fields:
        raise ValueError(f"is a key of the training config: --set config.{'.'.join(path)}=...")
    target = data
    for depth, step in enumerate(path[:-1]):
        if target.get(step) is None:
            target[step] = {}
        if _is_algorithm(path[: depth + 1]) and isinstance(target[step], str):
            target[step] = {"name": target[step]}
        target = target[step]
        if not isinstance(target, dict):
            raise ValueError(f'"{step}" must be a mapping, found {target!r}')
    last = path[-1]
    if path[0] == "space" and len(path) == 3:
        _drop_replaced_kind(target, last)
    if last == "name" and _is_algorithm(path[:-1]):
        _drop_foreign_keys(target, path[-2], value)
    target[last] = copy.deepcopy(value)


def _is_algorithm(path: tuple[str, ...]) -> bool:
    return path in (("tune", "scheduler"), ("tune", "search_alg"))


def _drop_replaced_kind(parameter: dict[str, Any], kind: str) -> None:
    """Drops the keys of a parameter that a newly set kind replaces."""
    if kind in ("when", "weights"):
        return
    kept = ("when", *RANGE_FORM) if kind in RANGE_FORM else ("when",)
    for key in [key for key in parameter if key not in kept]:
        del parameter[key]


def _drop_foreign_keys(section: dict[str, Any], algorithm: str, name: Any) -> None:
    """Drops the keys of an algorithm's section that the algorithm called `name` does not have."""
    kinds = options(Tune.model_fields[algorithm].annotation)
    fields = {own: kind.model_fields for kind in kinds for own in names_of(kind)}.get(name)
    if fields is not None and section.get("name") != name:
        for key in [key for key in section if key not in fields]:
            del section[key]


def _mark_as_set(lines: dict[PathKey, int], path: PathKey) -> None:
    for inner in [key for key in lines if key[: len(path)] == path]:
        del lines[inner]
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], SET_LINE)
