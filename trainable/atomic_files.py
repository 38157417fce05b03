"""Writes files atomically: temporary file, fsync, rename.

Readers see the old content or the new one, never a mixture, even after a kill at any moment.
"""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def _temporary_path(path: Path) -> Iterator[Path]:
    """Yields the path of a file that is to replace another one, and removes what is left of it.

    The error of a failed write names the file that was to be replaced.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Flushes a file's content, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_or_copy(source: Path, name: Path) -> None:
    """Makes `name` a hard link to `source`, or a copy if the file system has no hard links."""
    with _temporary_path(name) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            fsync(temporary)
        temporary.replace(name)


def write_once(names: Iterable[Path], write: Callable[[BinaryIO], object]) -> None:
    """Writes one file and gives it several names; each is replaced atomically, in this order.

    Args:
        names: Paths on one file system; at least one.
        write: A function that writes the content to an open file.

    Raises:
        OSError: Writing or renaming has failed. If writing has failed, nothing is replaced.
    """
    targets = list(names)
    with _temporary_path(targets[-1]) as temporary:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        for name in targets:
            _link_or_copy(temporary, name)
        for directory in {name.parent for name in targets}:
            fsync(directory)


def add_name(source: Path, name: Path) -> None:
    """Gives an existing file one more name, which replaces another file of that name."""
    if name.exists() and name.samefile(source):
        return
    _link_or_copy(source, name)
    fsync(name.parent)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces a file atomically."""
    with _temporary_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def append_whole(file: io.FileIO, data: bytes) -> None:
    """Appends to a file without a buffer.

    Raises:
        OSError: The disk is full; the file is as it was before.
    """
    size = file.seek(0, os.SEEK_END)
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        with suppress(OSError):
            file.truncate(size)
        error.filename = file.name
        raise


def remove_partial_line(path: Path) -> None:
    """Removes a last line that a kill has cut short; a file that is missing stays so."""
    data = path.read_bytes() if path.exists() else b""
    complete = data.rfind(b"\n") + 1
    if complete < len(data):
        with path.open("r+b") as file:
            file.truncate(complete)


def remove_temporaries(directory: Path, name: str = "*") -> None:
    """Deletes the temporary files of a writer that was killed.

    Args:
        directory: The directory of the files.
        name: A file name or pattern; no other process may be writing such a file.
    """
    for path in directory.glob(f".{name}.*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)
