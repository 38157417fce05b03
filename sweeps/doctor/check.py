"""One thing that `sweep doctor` has looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]
"""`problem`: no sweep can run. `warning`: a sweep runs, but not as one would expect."""

_CREDENTIALS = re.compile(r"^([a-z][\w+.-]*://)?.+(?=@)", re.IGNORECASE | re.DOTALL)
"""All up to the last `@`, since a password may have any characters."""
_SECRET = re.compile(r"KEY|TOKEN|PASSWORD|SECRET", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    remedy: str | None = None
    """Command or sentence; None if there is nothing to do."""


def mask(name: str, value: str) -> str:
    """Returns the value of an environment variable without what must not be shown."""
    return "***" if _SECRET.search(name) else _CREDENTIALS.sub(r"\1***", value)
