"""Where Tune keeps a trial's files: the one module that reads its private storage context.

Tune's default `save()` writes every checkpoint twice, into a temporary directory and then into
storage. Saving straight into the final directory makes its copy a no-op: Arrow skips a local copy
whose two path strings are equal (and only then; a copy onto an alias truncates the file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem

MARKER = ".validate_storage_marker"
"""Tune's: a node without it is refused to save."""


def trial_directory(storage: Any) -> Path | None:
    """The trial's directory in Tune's storage, or None outside Tune.

    Args:
        storage: `Trainable._storage`: a `StorageContext` or None.
    """
    return None if storage is None else Path(storage.trial_fs_path)


def stand_alone(storage: Any) -> None:
    """Tells Tune that this node's disk is where it stores, though no other node sees it.

    Of a sweep in object storage the local files of every node are copies.
    """
    directory = Path(storage.experiment_fs_path)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()


def make_room(found: Any) -> None:
    """Makes the directory of a checkpoint that Tune is about to look for on this node.

    Args:
        found: What `Trainable.restore` is given: a training result, a checkpoint or a path.
    """
    checkpoint = getattr(found, "checkpoint", found)
    Path(getattr(checkpoint, "path", checkpoint)).mkdir(parents=True, exist_ok=True)


def next_checkpoint_directory(storage: Any) -> str | None:
    """The final directory of the trial's next checkpoint, where that is on a local file system."""
    if storage is None or not isinstance(storage.storage_filesystem, LocalFileSystem):
        return None
    name = storage._make_checkpoint_dir_name(storage.current_checkpoint_index + 1)
    # Joined like StorageContext.checkpoint_fs_path, so that the strings are equal.
    return Path(storage.trial_fs_path, name).as_posix()
