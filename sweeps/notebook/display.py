"""Shows HTML in a notebook and replaces it, with IPython's display protocol only."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from sweeps.terminal.console import print_line


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook, whichever program shows it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class Display:
    """One output of a cell, whose HTML can be replaced; the first HTML creates it."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._has_failed = False
        self._text = ""

    def show(self, html: str, text: str) -> None:
        """Shows HTML in the place of the previous one.

        Args:
            html: The HTML.
            text: What programs show that have no HTML; it is printed from the first failure of
                the display on, which the sweep must survive.
        """
        if not self._has_failed:
            try:
                self._show(html, text)
            except Exception as error:  # noqa: BLE001 - other programs' code
                self._has_failed = True
                print_line(f"note: the output cannot be drawn: {type(error).__name__}: {error}")
        if self._has_failed and text != self._text:
            print_line(text)
        self._text = text

    def _show(self, html: str, text: str) -> None:
        display = import_module("IPython.display").display
        content = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
