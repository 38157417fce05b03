"""Free space for a cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from trainable.data.cache.eviction import evict, find_parts, list_caches
from trainable.data.cache.settings import CacheSettings

MIB, GIB = 2**20, 2**30
TAGS = {
    ".gitignore": "*\n",
    "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# See https://bford.info/cachedir/\n",
}
"""Files that keep caches out of git and of backups."""


def find_refusal(folder: Path) -> str | None:
    """Creates a folder of caches if there is none.

    Returns:
        Why it cannot be written to; None if it can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # surer than permissions, e.g. on NFS
            pass
        for name, text in TAGS.items():
            if not (folder / name).exists():
                (folder / name).write_text(text)
    except OSError as error:
        return error.strerror
    return None


def has_room(folder: Path, key: str, needed: int, limit: int) -> bool:
    """Returns whether a folder has room for a cache, or the cache is there or is being built.

    Old caches are deleted to make room.
    """
    if folder.is_dir():
        evict(folder, limit, needed)
    # First the space: a process that builds the cache takes it after it has created its directory.
    return free_bytes(folder) >= needed or (folder / key).exists() or bool(find_parts(folder, key))


def find_obstacle(folder: Path, needed: int) -> str | None:
    """Returns why a folder could not get a cache; None if it could.

    Creates nothing, and counts the space of other caches as free.
    """
    can_check = os.access in os.supports_effective_ids
    mode = os.R_OK | os.W_OK | os.X_OK
    if not os.access(_existing_parent(folder), mode, effective_ids=can_check):
        return "it cannot be written to"
    free = free_bytes(folder)
    if folder.is_dir():
        free += sum(cache.size for cache in list_caches(folder))
    return None if free >= needed else f"{show_size(free)} are free"


def free_bytes(folder: Path) -> int:
    """Returns the free space of the disk of a folder, which need not exist."""
    return shutil.disk_usage(_existing_parent(folder)).free


def _existing_parent(folder: Path) -> Path:
    folders = (folder, *folder.parents)
    return next(path for path in folders if os.path.exists(path))  # noqa: PTH110  (Path fails)


def show_size(size: int) -> str:
    """Returns a number of bytes as text."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def explain_room(settings: CacheSettings, needed: int, refusals: str) -> str:
    """Returns the message that a cache has no room.

    Args:
        settings: The settings of the cache.
        needed: Its size in bytes.
        refusals: What is wrong with the folders.
    """
    return (
        f"the decoded images of {settings.root} need {show_size(needed)} on a disk ({refusals})"
        "; set dataset.cache_dir to a directory with room, or dataset.cache: false to decode "
        "every file in every epoch"
    )
