"""The files that a search file's values were read from, for messages about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from trainable.config.yaml_reader import Document, line_of
from trainable.errors import Problem

SET_LINE = -1
"""The line of keys that the command line sets."""


@dataclass(frozen=True)
class Origin:
    """Where a search file is from. Two of the same content are equal wherever they are from."""

    search: Document = field(default=Document({}, {}, "search"), compare=False)
    """The search file."""
    config: Document = field(default=Document({}, {}, "search"), compare=False)
    """Its training config, which may be inside the search file: then it has the same source."""
    directory: Path = field(default=Path(), compare=False)
    """The search file's directory."""

    def locate(self, problem: Problem) -> Problem:
        """Returns a problem of the training config as `report` does, with its line."""
        path = tuple(problem.key.split(".")) if problem.key else ()
        located = self.report(replace(problem, line=line_of(self.config, path)))
        return name_command_line(located)

    def report(self, problem: Problem) -> Problem:
        """Returns a problem of the training config with its key and line in the search file."""
        line = line_of(self.search, ("config",))
        if self.config.source != self.search.source:
            return move_to_search_file(self.config.source, problem, line)
        key = f"config.{problem.key}" if problem.key else "config"
        return replace(problem, key=key, line=problem.line or line)


def move_to_search_file(source: str, problem: Problem, line: int | None) -> Problem:
    """Reports a problem of the training config's file at the line that names the file.

    Args:
        source: The training config's file.
        problem: The problem, with its line there.
        line: The line of the key `config` in the search file.
    """
    if problem.line == SET_LINE:
        return replace(problem, key=f"config.{problem.key}")
    at = "" if problem.line is None else f"line {problem.line}: "
    key = f"{problem.key}: " if problem.key else ""
    return Problem("config", f"{source}: {at}{key}{problem.rule}", line)


def name_command_line(problem: Problem) -> Problem:
    """Adds `--set` to a problem of a key that the command line sets; returns others unchanged."""
    if problem.line != SET_LINE:
        return problem
    return replace(problem, key=f"--set {problem.key}", line=None)
