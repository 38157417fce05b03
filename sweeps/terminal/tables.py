"""Tables that fit the terminal: long cells are shortened instead of whole columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

MIN_WIDTH = 8
"""Columns that a shortened cell keeps."""
UNBROKEN, JOINED = re.compile(r"(?<=[:\d]) (?=\S)"), "\0"
"""Spaces at which a line is not broken, and what stands for them meanwhile."""
UNLIMITED_WIDTH = 10_000
"""Columns of a terminal in which every table fits."""


class ShortenedText:
    """A cell that loses its middle if the table would be wider than the terminal.

    Its column must be allowed to wrap, because Rich makes no other columns narrower.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Returns the least and the full width of the text."""
        width = cell_len(self._to_printable(options))
        return Measurement(min(width, MIN_WIDTH), width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the text as it fits the column."""
        ellipsis = "..." if options.ascii_only else "\N{HORIZONTAL ELLIPSIS}"
        text = shorten(self._to_printable(options), options.max_width, ellipsis)
        yield Text(text, no_wrap=True, overflow="crop")

    def _to_printable(self, options: ConsoleOptions) -> str:
        """Returns the text with `?` for characters that the terminal's encoding lacks."""
        return self._text.encode(options.encoding, "replace").decode(options.encoding)


def shorten(text: str, width: int, ellipsis: str) -> str:
    """Returns the text with an ellipsis for its middle if it is wider than `width` columns."""
    if cell_len(text) <= width:
        return text
    kept = max(0, width - len(ellipsis))
    tail = kept // 2
    return set_cell_size(text, kept - tail) + ellipsis + set_cell_size(text[::-1], tail)[::-1]


def wrap_line(line: str, width: int, indent: int) -> list[str]:
    """Breaks a line of text between words, but not behind a key or a number.

    Args:
        line: The text, which may begin with spaces.
        width: Columns of the terminal; longer words are not broken.
        indent: Columns in front of all parts but the first.
    """
    parts = textwrap.wrap(
        UNBROKEN.sub(JOINED, line),
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace(JOINED, " ") for part in parts]


def break_heading(heading: str) -> str:
    """Returns a heading with a line break after every `_` and `.`."""
    return re.sub(r"([_.])(?=.)", r"\1\n", heading)


def fit_columns(build: Callable[[int], Table], most: int, console: Console, width: int) -> Table:
    """Returns a table with as many of its optional columns as fit.

    Headings of optional columns are broken before a column is left out.

    Args:
        build: Returns the table with this number of optional columns, which come last.
        most: The number of optional columns.
        console: The console that the table is for.
        width: Columns of the terminal.
    """
    for shown in range(most, 0, -1):
        table = build(shown)
        if measure(table, console).maximum > width:
            for column in table.columns[-shown:]:
                column.header = break_heading(str(column.header))
        if measure(table, console).minimum <= width:
            return table
    return build(0)


def measure(table: RenderableType, console: Console) -> Measurement:
    """Returns the least and the full width of a table."""
    return Measurement.get(console, console.options.update_width(UNLIMITED_WIDTH), table)
