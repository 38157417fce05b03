"""Object storage: a directory of objects under a URI such as `s3://bucket/sweeps`.

Any store that pyarrow or fsspec knows. A connection that is cut costs waiting: every call is tried
again for a stated time before it fails.
"""

from __future__ import annotations

import random
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from trainable.atomic_files import TEMPORARY_SUFFIX
from trainable.errors import StorageError
from trainable.uri import child_uri, parent_uri

PATIENCE_S = 900.0
"""How long a call goes on trying, for those who have a training to lose."""
SHORT_PATIENCE_S = 20.0
"""The same, for those who only look."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0
THREADS = 8
CHUNK = 2**23

OF_ARROW = {"s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"}
FINAL = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH"
    r"|UNRECOGNIZED_CLIENT|INVALID_CLIENT_TOKEN|HTTP status 40[13]|No such bucket",
    re.IGNORECASE,
)
"""What no waiting helps against."""

T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """What a listing says of an object."""

    size: int
    time: float
    """When it was written, by the store's clock."""


class Remote:
    """A directory of objects.

    Args:
        uri: Its address.
        patience_s: How long a call goes on trying.
    """

    def __init__(self, uri: str, *, patience_s: float = PATIENCE_S) -> None:
        self.uri = uri
        self.patience_s = patience_s
        """How long a call goes on trying."""
        self._fs: Any
        self._fs, self._path = self._patiently("reached", lambda: _file_system(uri))

    @property
    def name(self) -> str:
        """Its last part."""
        return parent_uri(self.uri)[1]

    def child(self, name: str) -> Remote:
        """A directory below it."""
        found = Remote.__new__(Remote)
        found.uri, found.patience_s = child_uri(self.uri, name), self.patience_s
        found._fs, found._path = self._fs, self.path_of(name)
        return found

    @property
    def file_system(self) -> Any:
        """pyarrow's, in which `path_of` is a path."""
        return self._fs

    def path_of(self, name: str) -> str:
        """The path of what is below it."""
        return f"{self._path.rstrip('/')}/{name}"

    def list(self) -> dict[str, Stored]:
        """Every object below it, by its name from here."""
        from pyarrow.fs import FileSelector, FileType

        chosen = FileSelector(self._path, recursive=True, allow_not_found=True)
        found = self._patiently("listed", lambda: self._fs.get_file_info(chosen))
        start = len(self._path.rstrip("/")) + 1
        return {
            info.path[start:]: Stored(info.size, info.mtime.timestamp() if info.mtime else 0.0)
            for info in found
            if info.type == FileType.File
        }

    def stat(self, name: str) -> Stored | None:
        """What is said of one object; None if there is none."""
        from pyarrow.fs import FileType

        info = self._patiently("looked at", lambda: self._fs.get_file_info(self.path_of(name)))
        if info.type != FileType.File:
            return None
        return Stored(info.size, info.mtime.timestamp() if info.mtime else 0.0)

    def upload(self, file: Path, name: str) -> None:
        """Makes an object of a file.

        Raises:
            FileNotFoundError: There is no such file.
            StorageError: The store does not take it.
        """
        with file.open("rb") as source:

            def send() -> None:
                source.seek(0)
                self._make_room(name)
                with self._fs.open_output_stream(self.path_of(name)) as target:
                    shutil.copyfileobj(source, target, CHUNK)

            self._patiently("written", send, name)

    def write(self, name: str, data: bytes) -> None:
        """Makes an object of these bytes."""

        def send() -> None:
            self._make_room(name)
            with self._fs.open_output_stream(self.path_of(name)) as target:
                target.write(data)

        self._patiently("written", send, name)

    def read(self, name: str) -> bytes | None:
        """An object's bytes; None if there is none."""

        def receive() -> bytes:
            with self._fs.open_input_stream(self.path_of(name)) as source:
                return bytes(source.read())

        try:
            return self._patiently("read", receive, name)
        except FileNotFoundError:
            return None

    def download(self, name: str, file: Path) -> None:
        """Makes a file of an object; it is replaced whole.

        Raises:
            StorageError: There is no such object, or it cannot be had.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")

        def receive() -> None:
            with (
                self._fs.open_input_stream(self.path_of(name)) as source,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, CHUNK)

        try:
            self._patiently("read", receive, name)
            temporary.replace(file)
        except FileNotFoundError as error:
            raise StorageError(f"{child_uri(self.uri, name)}: there is no such object") from error
        finally:
            temporary.unlink(missing_ok=True)

    def copy(self, source: str, name: str) -> None:
        """Gives an object another name; the store does it, nothing is sent."""

        def carry_out() -> None:
            self._make_room(name)
            self._fs.copy_file(self.path_of(source), self.path_of(name))

        self._patiently("copied", carry_out, name)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; one that is gone already is no matter."""

        def delete(name: str) -> None:
            with suppress(FileNotFoundError):
                self._patiently("deleted", lambda: self._fs.delete_file(self.path_of(name)), name)

        at_once(delete, names)

    def _make_room(self, name: str) -> None:
        """Makes the directory of an object where the store has such a thing."""
        if self._fs.type_name not in {"s3", "gcs"}:
            self._fs.create_dir(self.path_of(name).rpartition("/")[0], recursive=True)

    def _patiently(self, done: str, call: Callable[[], T], name: str = "") -> T:
        """Tries until it works.

        Raises:
            FileNotFoundError: There is no such object.
            StorageError: It does not work, and waiting has not helped or cannot.
        """
        until, wait = time.monotonic() + self.patience_s, FIRST_WAIT_S
        while True:
            try:
                return call()
            except (FileNotFoundError, StorageError):
                raise
            except Exception as error:
                if not _may_pass(error) or time.monotonic() + wait > until:
                    where = child_uri(self.uri, name) if name else self.uri
                    reason = " ".join(str(error).split())
                    raise StorageError(f"{where}: cannot be {done}: {reason}") from error
            time.sleep(wait * random.uniform(0.7, 1.0))
            wait = min(2 * wait, LONGEST_WAIT_S)


def at_once(work: Callable[[str], object], names: Iterable[str]) -> None:
    """Does something for every name, several at a time; raises what the first failure raises."""
    waiting = list(names)
    if len(waiting) < 2:
        for name in waiting:
            work(name)
        return
    with ThreadPoolExecutor(min(THREADS, len(waiting))) as pool:
        for done in [pool.submit(work, name) for name in waiting]:
            done.result()


def _may_pass(error: Exception) -> bool:
    """Whether a failure may be one of the connection."""
    if isinstance(error, PermissionError) or FINAL.search(str(error)):
        return False
    return isinstance(error, OSError) or type(error).__module__ != "builtins"


@lru_cache(maxsize=32)
def _file_system(uri: str) -> tuple[Any, str]:
    """The store's file system, and the path of the address in it."""
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    if urlsplit(uri).scheme in OF_ARROW:
        try:
            found, path = FileSystem.from_uri(uri)
        except ValueError as error:  # a key of the query that the store does not have
            raise StorageError(f"{uri}: {error}") from error
        return _in_one_request(found), path
    from fsspec.core import url_to_fs

    try:
        store, path = url_to_fs(unquote(uri))
    except (ImportError, ValueError) as error:
        raise StorageError(f"{uri}: {' '.join(str(error).split())}") from error
    return PyFileSystem(FSSpecHandler(store)), path


def _in_one_request(found: Any) -> Any:
    """S3 with small objects written in one request instead of three."""
    if found.type_name != "s3":
        return found
    make, (options,) = found.__reduce__()
    return make({**options, "allow_delayed_open": True})
