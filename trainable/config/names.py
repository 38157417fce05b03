"""Suggests the nearest valid name and checks names that become directories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os.path import commonprefix

from trainable.config.synonyms import find_synonym

MAX_NAME_LENGTH = 200
"""Limit in bytes; leaves room for a directory name's suffixes (file systems allow 255)."""


def similarity(first: str, second: str) -> tuple[float, int]:
    """Returns how similar two names are, ignoring case.

    Returns:
        A ratio in [0, 1], and the length of their common prefix, which breaks ties.
    """
    first, second = first.lower(), second.lower()
    ratio = difflib.SequenceMatcher(None, first, second).ratio()
    return ratio, len(commonprefix([first, second]))  # noqa: RUF071 - texts, not paths


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean "x"?` for the nearest known name, and the list if it is short."""
    names = sorted(known)
    synonym = find_synonym(name, names)
    nearest = synonym or max(names, key=lambda other: similarity(name, other), default="")
    is_near = synonym is not None or similarity(name, nearest)[0] >= 0.5
    text = f'; did you mean "{nearest}"?' if is_near else ""
    if names and len(names) <= 16:
        text += f" (known: {', '.join(names)})"
    return text


def check_name(name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is known.

    Raises:
        ValueError: The name is unknown; the text suggests the nearest one.
    """
    names = list(known)
    if name not in names:
        raise ValueError(f'unknown name, found "{name}"{suggestion(name, names)}')
    return name


def check_directory_name(name: str) -> str:
    """Returns `name` if it is a valid directory name on common file systems.

    Raises:
        ValueError: The name breaks a rule, which the text states.
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
