"""Tells which files of a directory are not to be read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sweeps.sweep_dir.layout import TRIAL_FILE
from trainable.artifacts.names import CLASSES_FILE, CONFIG_FILE, METRICS_FILE

TRIAL_FILES = (TRIAL_FILE, METRICS_FILE, CONFIG_FILE, CLASSES_FILE)
"""Files of a trial that pages show, besides its log."""


def describe_foreign(directory: Path, names: Iterable[str] = TRIAL_FILES) -> str | None:
    """Returns a sentence on a file that is not to be read; None if all may be.

    A link may lead to any file of the user who runs the server, and to open a FIFO waits until
    another process writes to it.

    Args:
        directory: The directory that the files must be in.
        names: Their names; they need not exist.
    """
    for name in names:
        path = directory / name
        if path.is_symlink() and not _is_below(path, directory):
            return f"{path}: is a link out of its directory, so it is not read"
        if path.exists() and not path.is_file():
            return f"{path}: is not a regular file, so it is not read"
    return None


def _is_below(path: Path, directory: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))
