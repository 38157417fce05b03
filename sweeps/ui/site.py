"""Objects that the pages of one `sweep ui` share."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.ui.cache import SweepCache
from sweeps.ui.protection import Guard

TICK_MS = 2000
"""Milliseconds between two looks of an open page."""


@dataclass(frozen=True)
class Site:
    """The data of the pages, and whether they may send requests to sweeps."""

    cache: SweepCache
    guard: Guard
    read_only: bool = False

    def may_write(self) -> bool:
        """Returns whether the request that is being answered may change a sweep."""
        return not self.read_only and self.guard.may_write()
