"""`--set KEY=VALUE` on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainable.errors import ConfigError, Problem
from trainable.yaml_reader import parse_yaml


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
