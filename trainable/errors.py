"""Errors for the user: printed without a traceback, exit code 2.

All other exceptions are bugs and keep their traceback.
"""

from __future__ import annotations

import errno
import re
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class TuneSweepsError(Exception):
    """Base class of all errors whose text is written for the user."""


class DataError(TuneSweepsError):
    """A data set is missing, cannot be downloaded or does not fit the config."""


class CheckpointError(TuneSweepsError):
    """A checkpoint is missing, broken or does not fit the model it is loaded into."""


class ModelError(TuneSweepsError):
    """A custom model cannot be trained, or its state cannot be saved."""


class DiskFullError(TuneSweepsError):
    """There is too little free space to save; earlier files are intact."""


DISK_FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
}
"""Numbers of the errors with which a write fails on a full disk -> what a message says."""


def describe_full_disk(error: BaseException) -> str | None:
    """Returns what a message says of a full disk; None if the error has another cause.

    Args:
        error: An exception; those that led to it are looked at, too, because libraries replace
            the operating system's error by their own.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in DISK_FULL:
            return DISK_FULL[link.errno]
        link = link.__cause__ or link.__context__
    return None


@contextmanager
def naming_full_disk(place: Path) -> Iterator[None]:
    """Turns any failure on a full disk into a `DiskFullError` that names the place."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        reason = describe_full_disk(error)
        if reason is None:
            raise
        raise DiskFullError(f"{place}: {reason}") from error


class StorageError(TuneSweepsError):
    """Object storage cannot be reached or has refused an operation."""


class ExportError(TuneSweepsError):
    """The exported model computes something else than the checkpoint's; its file is deleted."""


class LostWorkerError(TuneSweepsError):
    """The shared worker that trained a trial has died, and the trial's state is lost."""


class ExperimentError(TuneSweepsError):
    """An experiment directory cannot be created or continued."""


class PathError(TuneSweepsError, ValueError):
    """A path cannot be used as it is written."""


_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|MemoryError|std::bad_alloc|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
    r"|(not enough|can.t allocate|cannot allocate) memory",
    re.IGNORECASE,
)


def is_out_of_memory(text: str) -> bool:
    """Returns whether the text of an exception or a traceback is about memory that ran out."""
    return _OUT_OF_MEMORY.search(text) is not None


@contextmanager
def naming_memory(name: str) -> Iterator[None]:
    """Reports that what a checkpoint's config asks for does not fit into memory.

    Args:
        name: The checkpoint.

    Raises:
        CheckpointError: An allocation has failed.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not is_out_of_memory(first_line):
            raise
        raise CheckpointError(
            f"{name}: the model or the data of its config do not fit into memory: {first_line}"
        ) from error


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


_FRAME = re.compile(
    r'^[ |]*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in .*)?\n'
    r'(?:[ |]+(?!File ")(?P<code>\S.*)\n)?',
    re.MULTILINE,
)
"""A frame of a traceback, with its line of code where the file can be read."""

_MODULE = re.compile(r"^(?:\w+\.)+(?=\w+(?::|$))")
"""The module before an exception's class."""
_LIBRARY = re.compile(r"/(site|dist)-packages/|/lib/python3\.\d+/|^<")
_PROJECT = re.compile(r"(?:^|/)((?:trainable|sweeps)/.*\.py)$")
MAX_LINE_CHARS = 400
"""Characters of a line of an exception's text that a message quotes."""


def summarize_exception(error: BaseException) -> str:
    """Returns an exception's class, first and last line, and the user's own line of code."""
    return summarize_traceback("".join(traceback.format_exception(error)))


def summarize_traceback(text: str) -> str:
    """Returns what a message quotes of a traceback.

    Returns:
        `ValueError: first line ... last line (net.py:12: x.view(2, 3))`. The line of code is the
        last one that belongs neither to a library nor to this project.
    """
    frames = list(_FRAME.finditer(text))
    lines = [line.strip() for line in _find_message(text, frames) if line.strip()]
    first, *others = [textwrap.shorten(line, MAX_LINE_CHARS) for line in lines] or [""]
    first = _MODULE.sub("", first)
    summary = first + (f" ... {others[-1]}" if others else "")
    own = next((frame for frame in reversed(frames) if _is_own_file(frame["file"])), None)
    if own is None:
        return summary
    code = f": {own['code'].strip()}" if own["code"] else ""
    return f"{summary} ({Path(own['file']).name}:{own['line']}{code})"


def _find_message(text: str, frames: list[re.Match[str]]) -> list[str]:
    """Returns the lines behind the last frame: the exception's class and text."""
    lines = text[frames[-1].end() if frames else 0 :].splitlines()
    start = next((at for at, line in enumerate(lines) if line[:1] not in {"", " ", "|"}), 0)
    return lines[start:]


def list_first(items: Sequence[object], most: int, separator: str = ", ") -> str:
    """Returns the first items as a text for a message, with `...` if there are more.

    Args:
        items: The items.
        most: Number of items that are shown.
        separator: The text between two items.
    """
    return separator.join([*map(str, items[:most]), *(["..."] if len(items) > most else [])])


def is_library(file: str) -> bool:
    """Returns whether a file of a traceback is Python's own or that of an installed package."""
    return _LIBRARY.search(file) is not None


def _is_own_file(file: str) -> bool:
    """Returns whether a file is the user's: of no library and not of this project."""
    if is_library(file):
        return False
    inside = _PROJECT.search(file)
    return inside is None or not (Path(__file__).parents[1] / inside[1]).exists()
