"""A terminal that shows text of unknown origin as text. Loads neither torch nor Ray."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that reorder text."""


def escape_controls(text: str) -> str:
    r"""Returns the text with `\x1b` and the like for control characters, and without colours.

    A log, a failure's message or a name in a file may contain sequences that a terminal obeys:
    they move its cursor, change its title or write to its clipboard.
    """
    return _CONTROLS.sub(_escape, _COLOURS.sub("", text))


def to_printable(text: str) -> str:
    r"""Returns the text on one line, with `\n`, `\t` and the like for control characters."""
    return escape_controls(text.replace("\n", "\\n").replace("\t", "\\t"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class PlainConsole(Console):
    """A console that prints text as it is, without markup, and escapes its control characters.

    Args:
        **options: See `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields the segments of a renderable; Rich's own control codes stay."""
        for segment in super().render(renderable, options):
            if segment.control or not _CONTROLS.search(segment.text):
                yield segment
            else:
                yield Segment(escape_controls(segment.text), segment.style)
