"""Errors for the user: printed without a traceback, exit code 2.

All other exceptions are bugs and keep their traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TuneSweepsError(Exception):
    """Base class of all errors whose text is written for the user."""


class DataError(TuneSweepsError):
    """A data set is missing, cannot be downloaded or does not fit the config."""


class CheckpointError(TuneSweepsError):
    """A checkpoint is missing, broken or does not fit the model it is loaded into."""


class DiskFullError(TuneSweepsError):
    """There is too little free space to save; earlier files are intact."""


class StorageError(TuneSweepsError):
    """Object storage cannot be reached or has refused an operation."""


class LostWorkerError(TuneSweepsError):
    """The shared worker that trained a trial has died, and the trial's state is lost."""


class ExperimentError(TuneSweepsError):
    """An experiment directory cannot be created or continued."""


@dataclass(frozen=True)
class Problem:
    """One problem in a user's file."""

    key: str
    """Dotted key, e.g. `optimizer.learning_rate`; empty if it concerns the whole file."""
    rule: str
    """The rule and the value found, e.g. `must be >= 1, found 0`."""
    line: int | None = None
    """1-based line in the file, or None if it is unknown."""


class ConfigError(TuneSweepsError):
    """A user's file breaks its schema; contains all problems of the file.

    Args:
        source: The file's path, or another source of the values.
        problems: At least one problem, in file order.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(self._render())

    def _render(self) -> str:
        count = len(self.problems)
        lines = [f"{self.source}: {count} problem{'' if count == 1 else 's'}"]
        for problem in self.problems:
            line = "" if problem.line is None else f"line {problem.line}: "
            key = f"{problem.key}: " if problem.key else ""
            lines.append(f"  {line}{key}{problem.rule}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, tuple[Problem, ...]]]:
        return ConfigError, (self.source, self.problems)
