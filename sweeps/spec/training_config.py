"""Reads the training config that a search file names or holds, with its problems."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.space.parameters import to_json
from sweeps.spec.origin import SET_LINE, Origin, move_to_search_file
from sweeps.spec.overrides import set_config_keys
from trainable.config import (
    BuiltinDataset,
    CheckpointConfig,
    TensorboardConfig,
    TrainConfig,
    parse_config,
)
from trainable.config.yaml_reader import Document, line_of, read_yaml
from trainable.errors import ConfigError, PathError, Problem
from trainable.uri import expand_home, is_uri

_PATHS = {
    "dataset.root": BuiltinDataset.model_fields["root"].default,
    "checkpoint.dir": CheckpointConfig.model_fields["dir"].default,
    "checkpoint.resume": None,
    "model.pretrained": None,
    "tensorboard.log_dir": TensorboardConfig.model_fields["log_dir"].default,
}
"""Keys of the training config that are relative to the working directory, and their defaults."""


@dataclass(frozen=True)
class LoadedConfig:
    """A training config as read for a search file."""

    values: dict[str, Any] = field(default_factory=dict)
    """Its plain values with absolute paths; empty if they cannot be read."""
    problems: list[Problem] = field(default_factory=list)
    document: Document | None = None
    """Its own values and lines, also where it is inside the search file; None if unreadable."""


def read_training_config(
    document: Document, directory: Path, changes: Mapping[str, Any]
) -> LoadedConfig:
    """Reads the training config under the key `config`.

    Args:
        document: The search file; it has that key.
        directory: The directory that a path there is relative to.
        changes: Dotted key of the training config -> value that replaces its own.
    """
    line = line_of(document, ("config",))
    try:
        inner = _open_document(document, directory)
    except ConfigError as error:
        problems = [move_to_search_file(error.source, p, line) for p in error.problems]
        return LoadedConfig(problems=problems)
    if inner is None:
        value = to_json(document.data["config"])
        rule = f"must be the path of a training config or the config itself, found {value}"
        return LoadedConfig(problems=[Problem("config", rule, line)])
    try:
        inner = set_config_keys(inner, changes)
    except ConfigError as error:
        problems = [Problem(f"config.{p.key}", p.rule, SET_LINE) for p in error.problems]
        return LoadedConfig(problems=problems)
    values = _make_absolute(inner.data)
    problems = []
    try:
        parse_config(Document(values, inner.lines, inner.source))
    except ConfigError as error:
        problems = [_add_hint(problem, document.data.get("space")) for problem in error.problems]
    origin = Origin(document, inner, directory)
    return LoadedConfig(values, [origin.report(problem) for problem in problems], inner)


def _open_document(document: Document, directory: Path) -> Document | None:
    """The training config inside a search file, or in the file it names; None for other values."""
    given = document.data["config"]
    if isinstance(given, Mapping):
        lines = {path[1:]: at for path, at in document.lines.items() if path[0] == "config"}
        return Document(given, lines, document.source)
    if isinstance(given, str):
        return read_yaml(directory / expand_home(given))
    return None


def _add_hint(problem: Problem, space: Any) -> Problem:
    if not isinstance(space, Mapping) or problem.key not in space:
        return problem
    return replace(problem, rule=f"{problem.rule}; config must be complete without the space")


def _make_absolute(config: Mapping[str, Any]) -> dict[str, Any]:
    """Makes paths absolute, because trials run in other directories and on other days."""
    result = dict(config)
    for key, default in _PATHS.items():
        section, name = key.split(".")
        if result.get(section) is None and TrainConfig.model_fields[section].is_required():
            continue
        values = {} if result.get(section) is None else result[section]
        given = values.get(name) if isinstance(values, Mapping) else ""
        path = default if given is None else given
        if isinstance(path, str) and path and not is_uri(path):
            with suppress(PathError):  # reported by the check of the config
                result[section] = {**values, name: str(Path(expand_home(path)).absolute())}
    dataset = result.get("dataset")
    if isinstance(dataset, Mapping) and isinstance(dataset.get("file"), str):
        with suppress(PathError):  # a relative file is below the root, which is absolute
            result["dataset"] = {**dataset, "file": expand_home(dataset["file"])}
    return result
