"""The one place that talks to the terminal."""

from __future__ import annotations

from rich.console import Console, RenderableType

console = Console()
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
