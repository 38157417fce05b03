"""Finds the sweeps below directories, including nested ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sweeps.storage.location import refresh
from sweeps.sweep_dir.layout import EVENTS_FILE, SEARCH_FILE, SWEEP_FILE

MAX_DEPTH = 6
"""Levels of directories below the ones that are searched."""
MAX_DIRECTORIES = 20_000
"""Directories that one search reads at most, so that a page on a home directory answers."""


def find_sweeps(roots: Sequence[Path], keys: Mapping[Path, str] | None = None) -> dict[str, Path]:
    """Finds the sweeps in and below directories; links to directories are not followed.

    Args:
        roots: The directories.
        keys: Directory -> the key that it has already.

    Returns:
        Key of a sweep, as page addresses have it -> its directory. The key is its path below the
        root with `:` for `/`, and a number if another directory has that key.

    Raises:
        StorageError: A root is in object storage that cannot be read.
    """
    keys = {} if keys is None else keys
    taken = set(keys.values())
    sweeps: dict[str, Path] = {}
    for root in dict.fromkeys(root.absolute() for root in roots):
        refresh(root)
        for directory in _walk(root):
            if directory in sweeps.values():
                continue
            key = ":".join(directory.relative_to(root).parts) or root.name
            number, unique = 1, keys.get(directory, key)
            while directory not in keys and unique in taken:
                number += 1
                unique = f"{key}~{number}"
            taken.add(unique)
            sweeps[unique] = directory
    return sweeps


def _walk(root: Path) -> Iterator[Path]:
    """Yields the sweep directories below a root; nothing inside of a sweep is read."""
    read = 0
    queue = [(root, 0)]
    while queue and read < MAX_DIRECTORIES:
        directory, depth = queue.pop(0)
        read += 1
        try:
            entries = list(os.scandir(directory))
        except OSError:  # it has vanished, or it is another user's
            continue
        names = {entry.name for entry in entries}
        if SWEEP_FILE in names or {EVENTS_FILE, SEARCH_FILE} <= names:
            yield directory
        elif depth < MAX_DEPTH:
            below = [
                (directory / entry.name, depth + 1)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
            queue += sorted(below)
