"""The training config that a search file names or holds: its values, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.space.parameters import to_json
from sweeps.spec.overrides import SET, set_config_keys
from trainable.config import (
    BuiltinDataset,
    CheckpointConfig,
    TensorboardConfig,
    TrainConfig,
    parse_config,
)
from trainable.config.yaml_reader import Document, PathKey, read_yaml
from trainable.errors import ConfigError, Problem
from trainable.uri import is_uri

_PATHS = {
    "dataset.root": BuiltinDataset.model_fields["root"].default,
    "checkpoint.dir": CheckpointConfig.model_fields["dir"].default,
    "checkpoint.resume": None,
    "tensorboard.log_dir": TensorboardConfig.model_fields["log_dir"].default,
}
"""Keys of the training config that are relative to the working directory, and their defaults."""


def line_of(document: Document, path: PathKey) -> int | None:
    """The line of the key, or of the nearest section around it."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((document.lines[key] for key in around if key in document.lines), None)


def read_training_config(
    document: Document, directory: Path, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Reads what a search file has under `config`.

    Args:
        document: The search file; it has that key.
        directory: What a path there is relative to.
        changes: Dotted key of the training config -> value that is set instead of its own.

    Returns:
        The plain values with absolute paths, and the problems of these.
    """
    given = document.data["config"]
    line = line_of(document, ("config",))
    if isinstance(given, Mapping):
        lines = {path[1:]: at for path, at in document.lines.items() if path[0] == "config"}
        inner = Document(given, lines, document.source)
    elif isinstance(given, str):
        try:
            inner = read_yaml(directory / Path(given).expanduser())
        except ConfigError as error:
            return {}, [_of_file(error.source, problem, line) for problem in error.problems]
    else:
        rule = (
            f"must be the path of a training config or the config itself, found {to_json(given)}"
        )
        return {}, [Problem("config", rule, line)]
    try:
        inner = set_config_keys(inner, changes)
    except ConfigError as error:
        return {}, [Problem(f"config.{each.key}", each.rule, SET) for each in error.problems]
    config = _absolute(inner.data)
    try:
        parse_config(Document(config, inner.lines, inner.source))
    except ConfigError as error:
        problems = [_with_hint(problem, document.data.get("space")) for problem in error.problems]
        if inner.source == document.source:
            return config, [_of_section(problem, line) for problem in problems]
        return config, [_of_file(inner.source, problem, line) for problem in problems]
    return config, []


def _with_hint(problem: Problem, space: Any) -> Problem:
    if not isinstance(space, Mapping) or problem.key not in space:
        return problem
    return replace(problem, rule=f"{problem.rule}; config must be complete without the space")


def _of_section(problem: Problem, line: int | None) -> Problem:
    """A problem of the training config as one of the search file that holds it."""
    key = f"config.{problem.key}" if problem.key else "config"
    return replace(problem, key=key, line=problem.line or line)


def _of_file(source: str, problem: Problem, line: int | None) -> Problem:
    """A problem of the training config's file as one of the search file that names it."""
    if problem.line == SET:
        return replace(problem, key=f"config.{problem.key}")
    at = "" if problem.line is None else f"line {problem.line}: "
    key = f"{problem.key}: " if problem.key else ""
    return Problem("config", f"{source}: {at}{key}{problem.rule}", line)


def _absolute(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with absolute paths: trials run in other directories, on other days."""
    result = dict(config)
    for key, default in _PATHS.items():
        section, name = key.split(".")
        if section not in result and TrainConfig.model_fields[section].is_required():
            continue
        values = result.get(section, {})
        path = values.get(name, default) if isinstance(values, Mapping) else None
        if isinstance(path, str) and path and not is_uri(path):
            result[section] = {**values, name: str(Path(path).expanduser().absolute())}
    return result
