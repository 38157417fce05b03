"""Prints to the terminal: the `sweep` command's output and a running sweep's messages."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from sweeps.terminal.formatting import replace_non_finite
from sweeps.terminal.tables import UNLIMITED_WIDTH, measure, wrap_line
from trainable.experiment.console import PlainConsole


class _Console(PlainConsole):
    """The console that prints on standard output; in a notebook as one stream of text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(force_jupyter=False, **options)

    def on_broken_pipe(self) -> None:
        """Discards all further output, e.g. after `| head` has closed the pipe.

        Rich would end the process, even in the middle of a sweep. Afterwards `quiet` is true.
        """
        with suppress(SystemExit):
            super().on_broken_pipe()


console = _Console()
errors = PlainConsole(stderr=True, force_jupyter=False)
_ray_output_enabled = False
_log_times = False
_uris: dict[Path, Callable[[str], str]] = {}
"""Local mirror of a directory in object storage -> the URI of a name below it."""


def print_line(text: str) -> None:
    """Prints plain text without wrapping long paths."""
    text = _with_uris(text)
    if _log_times and not console.is_terminal:
        text = with_time(text)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_wrapped(line: str, indent: int = 2) -> None:
    """Prints a line of plain text, which a narrower terminal has as several.

    For sentences and values; a command or a path is printed by `print_line`, to be copied whole.
    A file or a pipe gets one line.

    Args:
        line: The line.
        indent: Columns in front of the second line and those after it.
    """
    width = table_width()
    is_narrow = console.is_terminal and len(line) > width
    print_line("\n".join(wrap_line(line, width, indent)) if is_narrow else line)


def print_exactly(text: str) -> None:
    """Prints text to a file or a pipe as it is, with tabs; a terminal does not obey it."""
    if console.is_terminal:
        console.out(text, end="", highlight=False)
        return
    try:
        console.file.write(text)
        console.file.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def print_table(table: RenderableType) -> None:
    """Prints a table or another renderable of Rich's; into a file or a pipe at its full width.

    A table that does not fit the terminal is wrapped by it, so no number is cut.
    """
    width = max(table_width(), measure(table, console).minimum)
    target = console if width == console.width else _Console(width=width)
    target.print(table)


def table_width() -> int:
    """Returns the columns that a table may have: those of the terminal, or of `COLUMNS`."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit():
        return int(columns)
    return console.width if console.is_terminal else UNLIMITED_WIDTH


@contextmanager
def log_times() -> Iterator[None]:
    """Puts the time of day in front of every printed line, unless the output is a terminal."""
    global _log_times
    before, _log_times = _log_times, True
    try:
        yield
    finally:
        _log_times = before


def with_time(text: str) -> str:
    """Returns the text with the time of day in front of every line."""
    prefix = time.strftime("%H:%M:%S  ")
    return "\n".join(prefix + line for line in text.split("\n"))


def print_error(text: str) -> None:
    """Prints an error to standard error without wrapping it."""
    errors.print(_with_uris(text), style="red", highlight=False, markup=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Prints a note to standard error without wrapping it, so that output stays parseable."""
    text = _with_uris(f"note: {text}")
    errors.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """Prints plain values as JSON on one line; numbers that are not finite become null."""
    text = json.dumps(replace_non_finite(data), default=str)
    print_line(text.replace("\x7f", "\\u007f"))  # the only control character that JSON allows


def show_as_uri(directory: Path, to_uri: Callable[[str], str]) -> None:
    """Prints URIs instead of the paths of a local mirror from now on.

    Args:
        directory: The local mirror.
        to_uri: Returns the URI of a name below the directory; for an empty name, the directory's.
    """
    _uris[directory] = to_uri


def uri_of(path: Path) -> str | None:
    """Returns the URI of a path in a local mirror; None for any other path."""
    for directory, to_uri in _uris.items():
        if path.is_relative_to(directory):
            name = path.relative_to(directory).as_posix()
            return to_uri("" if name == "." else name)
    return None


def _with_uris(text: str) -> str:
    """Replaces paths of local mirrors by their URIs, quoted for a shell."""
    for directory, to_uri in _uris.items():
        pattern = re.compile(rf"(\"?){re.escape(str(directory))}(?:/([^\s'\",:;]*)|(?![\w-]))")

        def replace(match: re.Match[str], to_uri: Callable[[str], str] = to_uri) -> str:
            uri = to_uri((match[2] or "").rstrip("/"))
            return match[1] + (uri if match[1] else shlex.quote(uri))

        text = pattern.sub(replace, text)
    return text


def enable_ray_output(enabled: bool) -> None:
    """Sets whether Ray's own messages are printed; must be called before Ray is imported.

    Ray prints reports of its nodes, e.g. that a worker has died, whatever `log_to_driver` is. They
    pass through its deduplication, which reads its environment variables at import.
    """
    global _ray_output_enabled
    _ray_output_enabled = enabled
    if not enabled:
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".?")


def ray_output_enabled() -> bool:
    """Returns whether Ray's own messages are printed."""
    return _ray_output_enabled
