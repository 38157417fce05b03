"""Files that are only ever replaced whole: temporary file, fsync, rename.

A reader, or a kill at any moment, sees the old content or the new, never a mixture.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

TEMPORARY_SUFFIX = ".tmp"


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")


def _sync(path: Path) -> None:
    """Puts a written file, or the names in a directory, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(source: Path, name: Path) -> None:
    """Makes `name` a hard link to `source`, or a copy where the file system has no links."""
    temporary = _temporary(name)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            _sync(temporary)
        temporary.replace(name)
    finally:
        temporary.unlink(missing_ok=True)


def write_once(names: Iterable[Path], write: Callable[[BinaryIO], object]) -> None:
    """Writes one file and gives it several names, each replaced whole, in the order given.

    Args:
        names: Paths on one file system; at least one.
        write: Writes the content to the open file it is given.

    Raises:
        OSError: Nothing is replaced then, if it is the writing that failed.
    """
    targets = list(names)
    temporary = _temporary(targets[-1])
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        for name in targets:
            _name(temporary, name)
        for directory in {name.parent for name in targets}:
            _sync(directory)
    finally:
        temporary.unlink(missing_ok=True)


def add_name(source: Path, name: Path) -> None:
    """Gives an existing file one more name, replacing whatever had it."""
    if name.exists() and name.samefile(source):
        return
    _name(source, name)
    _sync(name.parent)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file whole, as UTF-8."""
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(directory: Path, name: str = "*") -> None:
    """Deletes what a killed writer of these files left behind.

    Args:
        directory: Where they are.
        name: A file, or a pattern, that nobody else writes at the moment.
    """
    for path in directory.glob(f".{name}.*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)
