"""Events that a training waits for, and how many hardware queues a GPU uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

CONNECTIONS_VARIABLE = "CUDA_DEVICE_MAX_CONNECTIONS"
MAX_CONNECTIONS = 32
"""Hardware queues of a GPU: the most that CUDA allows. Its default is 8. Streams that share a
queue wait for each other."""


class Event(Protocol):
    """A mark in a stream's work, such as `torch.Event`."""

    def query(self) -> bool:
        """Returns whether the work before the mark is done."""
        ...

    def synchronize(self) -> object:
        """Waits until the work before the mark is done; other threads may run meanwhile."""
        ...


def is_unreached(event: Event | None) -> bool:
    """Returns whether there is an event that has not been reached yet.

    A failure of the GPU counts as reached, so that the waiting code meets the same failure and
    reports it.
    """
    try:
        return event is not None and not event.query()
    except RuntimeError:
        return False


def queue_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables for a process that trains on a GPU; values set by the user win."""
    return {
        CONNECTIONS_VARIABLE: environment.get(CONNECTIONS_VARIABLE, str(MAX_CONNECTIONS)),
    }
