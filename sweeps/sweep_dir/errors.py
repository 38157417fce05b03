"""The errors that every part of a sweep raises for its user."""

from __future__ import annotations

from trainable.errors import TuneSweepsError


class SweepError(TuneSweepsError):
    """A sweep directory cannot be created, read or resumed."""


class SweepRunningError(SweepError):
    """Another process is running the sweep."""
