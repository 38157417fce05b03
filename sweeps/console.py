"""The one place that talks to the terminal."""

from __future__ import annotations

from contextlib import suppress

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


def say(text: str) -> None:
    """One plain line; long paths are not broken."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def show(drawing: RenderableType) -> None:
    """A table or another drawing."""
    console.print(drawing)


def complain(text: str) -> None:
    """An error, in full, on standard error."""
    errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def show_ray(shown: bool) -> None:
    """Says whether Ray's own messages are to be shown."""
    global _ray_is_shown
    _ray_is_shown = shown


def ray_is_shown() -> bool:
    """Whether Ray's own messages are shown."""
    return _ray_is_shown
