"""The one place that talks to the terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console, RenderableType


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read the output has had enough, as `| head` has: from now on it goes nowhere.

        Rich would end the process, in the middle of a sweep too; afterwards `quiet` is true.
        """
        with suppress(SystemExit):
            super().on_broken_pipe()


console = _Console()
_ray_is_shown = False
errors = Console(stderr=True)
_addresses: dict[Path, Callable[[str], str]] = {}


def say(text: str) -> None:
    """One plain line; long paths are not broken."""
    console.print(_addressed(text), highlight=False, markup=False, soft_wrap=True)


def show(drawing: RenderableType) -> None:
    """A table or another drawing."""
    console.print(drawing)


def complain(text: str) -> None:
    """An error, in full, on standard error."""
    errors.print(_addressed(text), style="red", highlight=False, markup=False, soft_wrap=True)


def stands_for(directory: Path, address: Callable[[str], str]) -> None:
    """Has a directory's paths shown as what they stand for.

    Args:
        directory: A local one.
        address: Of the name of what is below it; of no name, its own.
    """
    _addresses[directory] = address


def _addressed(text: str) -> str:
    """A text with addresses in place of the paths that stand for them, as a shell takes them."""
    for directory, address in _addresses.items():
        pattern = re.compile(rf"(\"?){re.escape(str(directory))}(?:/([^\s'\",:;]*)|(?![\w-]))")

        def shown(found: re.Match[str], address: Callable[[str], str] = address) -> str:
            place = address((found[2] or "").rstrip("/"))
            return found[1] + (place if found[1] else shlex.quote(place))

        text = pattern.sub(shown, text)
    return text


def show_ray(shown: bool) -> None:
    """Says whether Ray's own messages are to be shown."""
    global _ray_is_shown
    _ray_is_shown = shown


def ray_is_shown() -> bool:
    """Whether Ray's own messages are shown."""
    return _ray_is_shown
