"""Object storage: a directory of objects under a URI such as `s3://bucket/sweeps`.

Supports every store that pyarrow or fsspec supports. Failed calls, such as those of a dropped
connection, are retried for a limited time.
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

RETRY_S = 900.0
"""How long a call is retried in a process that would lose a training."""
SHORT_RETRY_S = 20.0
"""How long a call is retried in a process that only reads."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0
"""Waits between the attempts of a call: the first one, and the upper limit."""
CLAIM_SETTLE_S = 1.0
"""Wait before a claim is checked, so that a claim made at the same time is seen."""
MAX_THREADS = 8
"""Concurrent calls of one `run_parallel`."""
COPY_CHUNK_BYTES = 2**23

PYARROW_SCHEMES = {"s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"}
PERMANENT_ERRORS = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH"
    r"|UNRECOGNIZED_CLIENT|INVALID_CLIENT_TOKEN|HTTP status 40[13]|No such bucket",
    re.IGNORECASE,
)
"""Error texts of failures that are not worth a retry."""

T = TypeVar("T")


@dataclass(frozen=True)
class ObjectInfo:
    """Size and time of an object, as the store lists them."""

    size: int
    time: float
    """When it was written, by the store's clock."""


class ObjectStore:
    """A directory of objects.

    Args:
        uri: The directory's URI.
        retry_s: How long a failed call is retried.
    """

    def __init__(self, uri: str, *, retry_s: float = RETRY_S) -> None:
        self.uri = uri
        self.retry_s = retry_s
        """How long a failed call is retried."""
        self._fs: Any
        self._fs, self._path = self._retry("reached", lambda: _file_system(uri))

    @property
    def name(self) -> str:
        """The last part of the URI."""
        return parent_uri(self.uri)[1]

    def child(self, name: str) -> ObjectStore:
        """Returns a directory below this one."""
        child = ObjectStore.__new__(ObjectStore)
        child.uri, child.retry_s = child_uri(self.uri, name), self.retry_s
        child._fs, child._path = self._fs, self.path_of(name)
        return child

    @property
    def file_system(self) -> Any:
        """The pyarrow file system that the paths of `path_of` belong to."""
        return self._fs

    def path_of(self, name: str) -> str:
        """Returns the path of an object in `file_system`."""
        return f"{self._path.rstrip('/')}/{name}"

    def list(self) -> dict[str, ObjectInfo]:
        """Lists every object below this directory, by its name relative to it."""
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(self._path, recursive=True, allow_not_found=True)
        infos = self._retry("listed", lambda: self._fs.get_file_info(selector))
        start = len(self._path.rstrip("/")) + 1
        return {info.path[start:]: _to_info(info) for info in infos if info.type == FileType.File}

    def stat(self, name: str) -> ObjectInfo | None:
        """Returns size and time of an object, or None if there is no such object."""
        from pyarrow.fs import FileType

        info = self._retry("looked at", lambda: self._fs.get_file_info(self.path_of(name)))
        return _to_info(info) if info.type == FileType.File else None

    def upload(self, file: Path, name: str) -> None:
        """Uploads a file.

        Raises:
            FileNotFoundError: There is no such file.
            StorageError: The store does not accept it.
        """
        with file.open("rb") as source:

            def send() -> None:
                source.seek(0)
                self._create_parent(name)
                with self._fs.open_output_stream(self.path_of(name)) as target:
                    shutil.copyfileobj(source, target, COPY_CHUNK_BYTES)

            self._retry("written", send, name)

    def write(self, name: str, data: bytes) -> None:
        """Writes an object."""

        def send() -> None:
            self._create_parent(name)
            with self._fs.open_output_stream(self.path_of(name)) as target:
                target.write(data)

        self._retry("written", send, name)

    def read(self, name: str) -> bytes | None:
        """Reads an object; returns None if there is no such object."""

        def receive() -> bytes:
            with self._fs.open_input_stream(self.path_of(name)) as source:
                return bytes(source.read())

        try:
            return self._retry("read", receive, name)
        except FileNotFoundError:
            return None

    def download(self, name: str, file: Path) -> None:
        """Downloads an object into a file, which is replaced whole.

        Raises:
            StorageError: There is no such object, or it cannot be read.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")

        def receive() -> None:
            with (
                self._fs.open_input_stream(self.path_of(name)) as source,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, COPY_CHUNK_BYTES)

        try:
            self._retry("read", receive, name)
            temporary.replace(file)
        except FileNotFoundError as error:
            raise StorageError(f"{child_uri(self.uri, name)}: there is no such object") from error
        finally:
            temporary.unlink(missing_ok=True)

    def copy(self, source: str, name: str) -> None:
        """Copies an object within the store; no data passes through this process."""

        def copy() -> None:
            self._create_parent(name)
            self._fs.copy_file(self.path_of(source), self.path_of(name))

        self._retry("copied", copy, name)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; objects that do not exist are skipped."""

        def delete(name: str) -> None:
            with suppress(FileNotFoundError):
                self._retry("deleted", lambda: self._fs.delete_file(self.path_of(name)), name)

        run_parallel(delete, names)

    def delete_directory(self, name: str) -> None:
        """Deletes a directory with its objects; one that does not exist is skipped.

        When its last object is deleted by itself, pyarrow keeps an empty object in S3 for it.
        """
        with suppress(FileNotFoundError):
            self._retry("deleted", lambda: self._fs.delete_dir(self.path_of(name)), name)

    def claim(self, name: str, content: bytes) -> bool:
        """Writes an object by which a process claims something; returns whether it still holds it.

        Stores have no locks. If two processes claim at the same time, the later write wins: both
        see it after `CLAIM_SETTLE_S`.

        Args:
            name: The object's name.
            content: The process's own content, different from that of every other process.
        """
        self.write(name, content)
        time.sleep(CLAIM_SETTLE_S)
        return self.read(name) == content

    def _create_parent(self, name: str) -> None:
        """Creates the directory of an object in stores that have directories."""
        if self._fs.type_name not in {"s3", "gcs"}:
            self._fs.create_dir(self.path_of(name).rpartition("/")[0], recursive=True)

    def _retry(self, done: str, call: Callable[[], T], name: str = "") -> T:
        """Repeats a call until it succeeds.

        Args:
            done: The call as a past participle, for the error: "cannot be written".
            call: The call.
            name: The object, for the error; empty for the whole directory.

        Raises:
            FileNotFoundError: There is no such object.
            StorageError: The call failed permanently or for longer than `retry_s`.
        """
        deadline, wait = time.monotonic() + self.retry_s, FIRST_WAIT_S
        while True:
            try:
                return call()
            except (FileNotFoundError, StorageError):
                raise
            except Exception as error:
                if not _is_transient(error) or time.monotonic() + wait > deadline:
                    where = child_uri(self.uri, name) if name else self.uri
                    reason = " ".join(str(error).split())
                    raise StorageError(f"{where}: cannot be {done}: {reason}") from error
            time.sleep(wait * random.uniform(0.7, 1.0))
            wait = min(2 * wait, LONGEST_WAIT_S)


def run_parallel(work: Callable[[str], object], names: Iterable[str]) -> None:
    """Calls a function for every name, several concurrently; raises the first exception."""
    arguments = list(names)
    if len(arguments) < 2:
        for name in arguments:
            work(name)
        return
    with ThreadPoolExecutor(min(MAX_THREADS, len(arguments))) as pool:
        for future in [pool.submit(work, name) for name in arguments]:
            future.result()


def _to_info(info: Any) -> ObjectInfo:
    return ObjectInfo(info.size, info.mtime.timestamp() if info.mtime else 0.0)


def _is_transient(error: Exception) -> bool:
    """Returns whether the connection may have caused a failure."""
    if isinstance(error, PermissionError) or PERMANENT_ERRORS.search(str(error)):
        return False
    return isinstance(error, OSError) or type(error).__module__ != "builtins"


@lru_cache(maxsize=32)
def _file_system(uri: str) -> tuple[Any, str]:
    """Returns the pyarrow file system of a URI, and the URI's path in it."""
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    if urlsplit(uri).scheme in PYARROW_SCHEMES:
        try:
            file_system, path = FileSystem.from_uri(uri)
        except ValueError as error:  # a query key that the store does not have
            raise StorageError(f"{uri}: {error}") from error
        return _write_in_one_request(file_system), path
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(unquote(uri))
    except (ImportError, ValueError) as error:
        raise StorageError(f"{uri}: {' '.join(str(error).split())}") from error
    return PyFileSystem(FSSpecHandler(file_system)), path


def _write_in_one_request(file_system: Any) -> Any:
    """Makes S3 write a small object with one request instead of three."""
    if file_system.type_name != "s3":
        return file_system
    rebuild, (options,) = file_system.__reduce__()
    return rebuild({**options, "allow_delayed_open": True})
