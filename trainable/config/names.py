"""Rules for names: the nearest known name, and names that may become a directory."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os.path import commonprefix

MAX_NAME_LENGTH = 200
"""Bytes; leaves room for the suffixes that a directory name gets (file systems allow 255)."""


def _likeness(found: str, name: str) -> tuple[float, int]:
    """How alike two names are, in [0, 1] without regard to case; of equals the longer prefix."""
    found, name = found.lower(), name.lower()
    ratio = difflib.SequenceMatcher(None, found, name).ratio()
    return ratio, len(commonprefix([found, name]))  # noqa: RUF071 - of text, not of paths


def suggestion(found: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the nearest known name, plus the whole list when it is short."""
    names = sorted(known)
    near = max(names, key=lambda name: _likeness(found, name), default="")
    text = f'; did you mean "{near}"?' if _likeness(found, near)[0] >= 0.5 else ""
    if names and len(names) <= 16:
        text += f" (known: {', '.join(names)})"
    return text


def check_name(name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is known.

    Raises:
        ValueError: Naming the nearest known one.
    """
    names = list(known)
    if name not in names:
        raise ValueError(f'unknown name, found "{name}"{suggestion(name, names)}')
    return name


def check_directory_name(name: str) -> str:
    """Returns `name` if it can be one directory, here and on other file systems.

    Raises:
        ValueError: With the rule that it breaks.
    """
    if name in {".", ".."} or any(c in '/\\:*?"<>|' for c in name):
        raise ValueError(f"must be one directory's name without a path in it, found {name!r}")
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"must have no control characters or outer blanks, found {name!r}")
    if not name or name.startswith((".", "-")):
        raise ValueError(f"must not be empty or start with a dot or a dash, found {name!r}")
    if len(name.encode()) > MAX_NAME_LENGTH:
        raise ValueError(
            f"must be at most {MAX_NAME_LENGTH} bytes long, found {len(name.encode())}"
        )
    return name
