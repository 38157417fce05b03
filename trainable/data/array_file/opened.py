"""Opens a file of arrays: names, shapes and types of all of them, before any pixel is read."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainable.errors import DataError

NPZ, PT = ".npz", ".pt"
MEMBER = ".npy"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of numpy and torch for files that are damaged or of another format."""


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of an array in a file."""

    shape: tuple[int, ...]
    dtype: str
    """As numpy or torch name it, e.g. `uint8`; of a list its type and that of its items."""
    kind: str
    """Numpy's letter: `u` and `i` whole numbers, `b` truth values, `f` floats, `U` and `S` texts,
    `O` objects and everything else."""
    nbytes: int


class ArrayFile(Protocol):
    """A file of named arrays."""

    headers: dict[str, ArrayHeader]

    def read(self, name: str) -> NDArray[Any]:
        """Returns an array.

        Raises:
            DataError: The file is damaged.
        """
        ...


def open_array_file(path: Path) -> ArrayFile:
    """Opens a file; torch is imported for `.pt` only.

    Args:
        path: A file that exists, `.npz` or `.pt`.

    Raises:
        DataError: It is of another format, or damaged.
    """
    return _NpzFile(path) if path.suffix.lower() == NPZ else _PtFile(path)


class _NpzFile:
    """An archive of numpy arrays; each is inflated when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.headers: dict[str, ArrayHeader] = {}
        expected = "must be an archive of arrays, as numpy.savez writes it"
        with _naming_file(path, expected), zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(MEMBER):
                    self.headers[name.removesuffix(MEMBER)] = _read_header(archive, name)

    def read(self, name: str) -> NDArray[Any]:
        """Returns an array; see `ArrayFile`."""
        with (
            _naming_file(self._path, f"must be whole, but {name} is damaged"),
            np.load(self._path, allow_pickle=False) as arrays,
        ):
            array: NDArray[Any] = arrays[name]
        return array


def _read_header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    with archive.open(name) as member:
        version = npy.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"{name} has version {version} of numpy's format")
        shape, _, dtype = _HEADERS[version](member)
    texts = "texts" if dtype.kind in "US" else str(dtype)
    return ArrayHeader(tuple(shape), texts, dtype.kind, dtype.itemsize * int(np.prod(shape)))


class _PtFile:
    """A mapping of tensors and of lists of texts; tensors are mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = _load_mapping(path)
        self.headers = {name: _describe(value) for name, value in self._values.items()}

    def read(self, name: str) -> NDArray[Any]:
        """Returns an array; see `ArrayFile`."""
        value = self._values[name]
        array: NDArray[Any] = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
        return array


def _load_mapping(path: Path) -> dict[str, Any]:
    import torch

    rule = "must be a mapping of tensors, as torch.save writes it"
    try:
        with warnings.catch_warnings(), _naming_file(path, rule):
            warnings.simplefilter("ignore", UserWarning)  # about a foreign pickle
            data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        content = f"code ({code[1]})" if code else "a foreign file"
        raise DataError(
            f"dataset.file {path} must hold tensors and plain values only, found {content}; make "
            "tensors of arrays: torch.from_numpy(array)"
        ) from error
    if not isinstance(data, dict):
        raise DataError(f"dataset.file {path}: {rule}, found {type(data).__name__}")
    return {str(name): value for name, value in data.items()}


def _describe(value: Any) -> ArrayHeader:
    """Returns the header of a value of a `.pt` file."""
    from torch import Tensor

    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        kinds = {"bool": "b", "uint": "u", "int": "i", "float": "f", "double": "f"}
        kind = next((kind for start, kind in kinds.items() if dtype.startswith(start)), "O")
        return ArrayHeader(tuple(value.shape), dtype, kind, value.nbytes)
    if not isinstance(value, list | tuple):
        return ArrayHeader((), type(value).__name__, "O", 0)
    shape = (len(value),)
    for kind, item, name in (("U", str, "texts"), ("i", int, "whole numbers")):
        if all(isinstance(one, item) for one in value):
            return ArrayHeader(shape, name, kind, 0)
    return ArrayHeader(shape, type(value).__name__, "O", 0)


@contextmanager
def _naming_file(path: Path, rule: str) -> Iterator[None]:
    """Turns the errors of a damaged file into a `DataError` that names it."""
    try:
        yield
    except pickle.UnpicklingError:
        raise
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"dataset.file {path}: {rule} ({reason})") from error
