"""The paths of a trial's files in Tune's storage, from Tune's private storage context.

Tune's default `save()` writes every checkpoint twice: into a temporary directory and then into
storage. If the trial saves directly into the final directory, the copy does nothing: Arrow skips a
local copy whose two path strings are equal (and only then; a copy onto an alias truncates the
file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem

MARKER = ".validate_storage_marker"
"""Tune's marker file: Tune refuses to save on a node that does not have it."""


def trial_directory(storage: Any) -> Path | None:
    """Returns the trial's directory in Tune's storage, or None outside Tune.

    Args:
        storage: `Trainable._storage`, a `StorageContext` or None.
    """
    return None if storage is None else Path(storage.trial_fs_path)


def create_storage_marker(storage: Any) -> None:
    """Makes Tune accept this node's disk as storage, although no other node can read it.

    In a sweep in object storage, the local files of every node are copies.
    """
    directory = Path(storage.experiment_fs_path)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()


def create_checkpoint_directory(source: Any) -> None:
    """Creates the directory of a checkpoint, which Tune requires on this node for a restore.

    Args:
        source: The argument of `Trainable.restore`: a training result, a checkpoint or a path.
    """
    checkpoint = getattr(source, "checkpoint", source)
    Path(getattr(checkpoint, "path", checkpoint)).mkdir(parents=True, exist_ok=True)


def next_checkpoint_directory(storage: Any) -> str | None:
    """Returns the final directory of the next checkpoint, or None if it is not a local one."""
    if storage is None or not isinstance(storage.storage_filesystem, LocalFileSystem):
        return None
    name = storage._make_checkpoint_dir_name(storage.current_checkpoint_index + 1)
    # Joined like StorageContext.checkpoint_fs_path, so that the strings are equal.
    return Path(storage.trial_fs_path, name).as_posix()
