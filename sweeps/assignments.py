"""`--set KEY=VALUE` on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainable.errors import ConfigError, Problem
from trainable.yaml_reader import parse_yaml


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Dotted key -> value, each value read as YAML.

    Raises:
        ConfigError: With every text that is no `KEY=VALUE`.
    """
    values: dict[str, Any] = {}
    problems = []
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            problems.append(Problem("", f"--set takes KEY=VALUE, found {text!r}"))
            continue
        values[key.strip()] = parse_yaml(f"value: {value}", f"--set {text}").data["value"]
    if problems:
        raise ConfigError("the command line", problems)
    return values
