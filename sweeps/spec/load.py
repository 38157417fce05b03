"""Loads a search file, with the training config that it names, into a `SearchSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.spec.origin import Origin, name_command_line
from sweeps.spec.overrides import (
    add_causes,
    select_config_keys,
    set_search_keys,
)
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.training_config import LoadedConfig, read_training_config
from sweeps.spec.validation.foreign_sections import explain_foreign_sections
from sweeps.spec.validation.search import check_search
from trainable.config.schema import validate_partly
from trainable.config.yaml_reader import Document, PathKey, dotted, line_of, read_yaml
from trainable.errors import ConfigError, Problem
from trainable.uri import expand_home

STAND_INS: dict[PathKey, Any] = {("config",): {}, ("tune", "num_samples"): 1}
"""Required keys -> values with which the rest of a file is checked where they are not valid."""


def load_search(path: str | Path, assignments: Mapping[str, Any] | None = None) -> SearchSpec:
    """Reads a search file and the training config that it names.

    Args:
        path: The search file.
        assignments: Dotted key -> value that replaces the one in the files.

    Raises:
        ConfigError: The files have problems; all of them are listed, and those that an assignment
            causes name it.
    """
    directory = Path(expand_home(str(path))).parent
    return parse_assigned(read_yaml(path), directory, assignments or {})


def parse_assigned(
    document: Document, directory: Path, assignments: Mapping[str, Any]
) -> SearchSpec:
    """Parses and checks the values of a search file with assignments.

    Args:
        document: The search file.
        directory: The directory that a path under `config` is relative to.
        assignments: See `load_search`.

    Raises:
        ConfigError: See `load_search`.
    """
    if not assignments:
        return parse_search(document, directory=directory)
    try:
        return parse_search(document, directory=directory, assignments=assignments)
    except ConfigError as error:
        without = {
            key: _list_problems(
                document, directory, {k: assignments[k] for k in assignments if k != key}
            )
            for key in assignments
        }
        raise ConfigError(error.source, add_causes(error.problems, without)) from None


def parse_search(
    data: Any,
    source: str = "search",
    directory: str | Path = ".",
    assignments: Mapping[str, Any] | None = None,
    *,
    is_recorded: bool = False,
) -> SearchSpec:
    """Parses and checks the plain values of a search file.

    Args:
        data: The nested mapping, or a `Document` that knows its lines.
        source: The file's name in error messages.
        directory: The directory that a path under `config` is relative to.
        assignments: See `load_search`.
        is_recorded: See `check_search`.

    Raises:
        ConfigError: The values have problems; all of them are listed, and those of the training
            config name it.
    """
    document = data if isinstance(data, Document) else Document(data, {}, source)
    document, unset = set_search_keys(document, assignments or {})
    values = document.data
    loaded = LoadedConfig()
    if isinstance(values, Mapping) and values.get("config") is not None:
        changes = select_config_keys(assignments or {})
        loaded = read_training_config(document, Path(directory), changes)
        values = {**values, "config": loaded.values}
    problems = [*loaded.problems, *unset]
    rest = Document(values, document.lines, document.source)
    partial = validate_partly(SearchSpec, rest, STAND_INS)
    problems += [*partial.problems, *explain_foreign_sections(document)]
    if partial.instance is not None:
        broken = {*partial.broken, *([("config",)] if loaded.problems else [])}
        violations = check_search(
            partial.instance, loaded.values, broken=broken, is_recorded=is_recorded
        )
        problems += [
            Problem(dotted(path), rule, line_of(document, path)) for path, rule in violations
        ]
        if not problems:
            origin = Origin(document, loaded.document or document, Path(directory))
            return partial.instance.with_origin(origin)
    problems.sort(key=lambda problem: problem.line or 0)
    raise ConfigError(document.source, [name_command_line(problem) for problem in problems])


def _list_problems(
    document: Document, directory: Path, assignments: Mapping[str, Any]
) -> tuple[Problem, ...]:
    try:
        parse_search(document, directory=directory, assignments=assignments)
    except ConfigError as error:
        return error.problems
    return ()
