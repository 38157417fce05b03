"""Suggests the nearest valid name and checks names that become directories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os.path import commonprefix

from trainable.config.synonyms import find_synonym, simplify

MIN_PART_LENGTH = 4
"""Letters of a beginning or an end by which a name is recognised."""
MIN_COMPARED_LENGTH = 3
"""Letters of the longer of two names; shorter ones are near to too many others."""
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


def is_misspelt(name: str, other: str) -> bool:
    """Returns whether a name may be another one with typing errors, or its beginning or end.

    One error in every four letters is allowed; case and separators do not count.
    """
    first, second = simplify(name), simplify(other)
    short, long = sorted((first, second), key=len)
    if len(short) >= MIN_PART_LENGTH and (long.startswith(short) or long.endswith(short)):
        return True
    if len(long) < MIN_COMPARED_LENGTH:
        return first == second
    return count_edits(first, second) <= max(1, len(long) // 4)


def count_edits(first: str, second: str) -> int:
    """Returns how many letters to insert, delete, replace or swap make one text of another."""
    before_last: list[int] = []
    last = list(range(len(second) + 1))
    for row, letter in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            edits = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and (letter, first[row - 2]) == (second[column - 2], other):
                edits = min(edits, before_last[column - 2] + 1)
            current.append(edits)
        before_last, last = last, current
    return last[-1]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean "x"?` for a synonym or a near spelling, and the list if it is short.

    Args:
        name: The unknown name.
        known: The names that there are.
    """
    names = sorted(known)
    near = (other for other in names if is_misspelt(name, other))
    nearest = find_synonym(name, names) or max(
        near, key=lambda other: similarity(name, other), default=None
    )
    text = f'; did you mean "{nearest}"?' if nearest else ""
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
