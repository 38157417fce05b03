"""`--set KEY=VALUE` on the command line: reads values as YAML and puts them into a file's values.

Keys that are set get the line `SET_LINE`, by which messages about them name the command line.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.settings import Tune
from trainable.config import TrainConfig
from trainable.config.introspection import names_of, options
from trainable.config.override import override
from trainable.config.yaml_reader import Document, PathKey, parse_yaml
from trainable.errors import ConfigError, Problem

SET_LINE = -1
"""The line of what the command line sets."""

RANGE_FORM = ("min", "max", "log")
IN_ENTRY = (*ARGUMENTS, *RANGE_FORM, "values", "value", "when")
"""What an entry of the space can hold: they end its dotted key in `space.KEY.choice=[1, 2]`."""


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Dotted key -> value, each value read as YAML.

    Raises:
        ConfigError: With every text that is no `KEY=VALUE`, or sets a key once more.
    """
    values: dict[str, Any] = {}
    problems = []
    for text in assignments:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not all(key.split(".")):
            problems.append(Problem("", f"--set takes KEY=VALUE, found {text!r}"))
        elif key in values:
            problems.append(Problem(key, f"must be set once, found --set {text!r} after another"))
        else:
            values[key] = None
            try:
                values[key] = _value(value)
            except ConfigError as error:
                problems.append(Problem(key, error.problems[0].rule))
    if problems:
        raise ConfigError("the command line", problems)
    return values


def _value(text: str) -> Any:
    """Reads the value after a key of its own, as in a file: on one line it can have no second."""
    if len(text.splitlines()) > 1:
        raise ConfigError("--set", [Problem("", f"must be one line, found {text!r}")])
    return parse_yaml(f"value: {text}", "--set").data["value"]


def select_config_keys(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Those below `config`, by their keys in the training config."""
    prefix = "config."
    return {k.removeprefix(prefix): v for k, v in assignments.items() if k.startswith(prefix)}


def set_search_keys(
    document: Document, assignments: Mapping[str, Any]
) -> tuple[Document, list[Problem]]:
    """A search file with the keys set that are not below `config`.

    A value replaces what the file has under its key. Another `name` of an algorithm drops the
    keys that it does not have.

    Returns:
        The file, and what could not be set.
    """
    data, lines = copy.deepcopy(document.data), dict(document.lines)
    problems = []
    for key, value in assignments.items():
        if not key.startswith("config."):
            path = _path(key)
            try:
                _put(data, path, value)
            except ValueError as error:
                problems.append(Problem(key, str(error), SET_LINE))
            else:
                _mark(lines, path)
    return Document(data, lines, document.source), problems


def set_config_keys(document: Document, values: Mapping[str, Any]) -> Document:
    """A training config with dotted keys set, as `trainable.config.override` sets them.

    Raises:
        ConfigError: A key lies in what is no mapping.
    """
    lines = dict(document.lines)
    for key in values:
        _mark(lines, tuple(key.split(".")))
    return Document(override(document.data, values), lines, document.source)


def named(problem: Problem) -> Problem:
    """A problem of a key that was set, saying so; others as they are."""
    if problem.line != SET_LINE:
        return problem
    return replace(problem, key=f"--set {problem.key}", line=None)


def add_causes(
    problems: Iterable[Problem], without: Mapping[str, Collection[Problem]]
) -> list[Problem]:
    """The problems of a file with assignments; of those elsewhere, which assignment causes them.

    Args:
        problems: Of both together.
        without: Assigned key -> the problems that there are without it.
    """
    found = []
    for problem in problems:
        causes = [key for key, others in without.items() if problem not in others]
        if causes and not problem.key.startswith("--set "):
            rule = f"{problem.rule} (with --set {', '.join(causes)})"
            problem = replace(problem, rule=rule)
        found.append(problem)
    return found


def _path(key: str) -> tuple[str, ...]:
    """The keys of the file that lead to a value; those of a space have dots themselves."""
    first, *rest = key.split(".")
    if first != "space" or not rest:
        return (first, *rest)
    inner = next((at for at in range(1, len(rest)) if rest[at] in IN_ENTRY), len(rest))
    below = [rest[inner]] if inner < len(rest) else []
    last = [".".join(rest[inner + 1 :])] if inner + 1 < len(rest) else []
    return ("space", ".".join(rest[:inner]), *below, *last)


def _put(data: Any, path: tuple[str, ...], value: Any) -> None:
    """Sets one value, making the mappings on the way.

    Raises:
        ValueError: There is something else than a mapping on the way.
    """
    if len(path) > 1 and path[0] not in data and path[0] in TrainConfig.model_fields:
        raise ValueError(f"is one of the training config: --set config.{'.'.join(path)}=...")
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
        _keep_form(target, last)
    if last == "name" and _is_algorithm(path[:-1]):
        _drop_foreign(target, path[-2], value)
    target[last] = copy.deepcopy(value)


def _is_algorithm(path: tuple[str, ...]) -> bool:
    return path in (("tune", "scheduler"), ("tune", "search_alg"))


def _keep_form(entry: dict[str, Any], kind: str) -> None:
    """Takes from an entry of the space what a newly set kind takes the place of."""
    if kind == "when":
        return
    stays = ("when", *RANGE_FORM) if kind in RANGE_FORM else ("when",)
    for key in [key for key in entry if key not in stays]:
        del entry[key]


def _drop_foreign(section: dict[str, Any], key: str, name: Any) -> None:
    kinds = options(Tune.model_fields[key].annotation)
    fields = {each: kind.model_fields for kind in kinds for each in names_of(kind)}.get(name)
    if fields is not None and section.get("name") != name:
        for foreign in [each for each in section if each not in fields]:
            del section[foreign]


def _mark(lines: dict[PathKey, int], path: PathKey) -> None:
    for inner in [known for known in lines if known[: len(path)] == path]:
        del lines[inner]
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], SET_LINE)
