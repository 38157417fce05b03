"""One cache on disk: a directory with pixels, an index, and a file that its users lock.

A directory appears whole, by being renamed, and its files never change afterwards. A reader can
thus map the pixels: a file that shrinks would kill it, one that is deleted does not.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainable.data.cache.files import FORMAT, ImageFile
from trainable.data.cache.locks import OpenFile, try_lock

PIXELS_FILE = "pixels.npy"
"""uint8 `[N, H, W, 3]`."""
INDEX_FILE = "index.npz"
ABOUT_FILE = "about.json"
USED_FILE = "used"
"""Its time is the last use; users hold a shared lock on it."""


@dataclass(frozen=True)
class Damage:
    """A file that could not be decoded."""

    number: int
    """Number of the file."""
    reason: str
    in_content: bool
    """Whether its content is the reason, so that another look at it is of no use."""


@dataclass(frozen=True)
class Index:
    """The properties of the images of a cache, by the number of the file."""

    sizes: NDArray[np.int32]
    """`[N, 2]`: height and width of the image in the file; 0 if it is unreadable."""
    hashes: NDArray[np.uint8]
    """`[N, 16]`: blake2b of the content of the file."""
    damages: tuple[Damage, ...]
    treatments: dict[str, int]
    """Name of a `Treatment` -> number of images."""
    seconds: float
    """Duration of the decoding."""


@dataclass(frozen=True)
class Entry:
    """A cache that is open."""

    directory: Path
    pixels: NDArray[np.uint8]
    """`[N, H, W, 3]`, mapped and read-only."""
    index: Index
    file: OpenFile
    """The file of the pixels; it can be read after its deletion, too."""
    offset: int
    """Bytes before the pixels in that file."""
    use: OpenFile
    """The lock that shows that this process uses the cache."""


def read_entry(directory: Path, files: Sequence[ImageFile]) -> Entry | None:
    """Opens a cache and notes its use.

    Returns:
        None if there is none, or if it is damaged or out of date.
    """
    use = try_lock(directory / USED_FILE, shared=True)
    if use is None:
        return None
    try:
        entry = _read(directory, len(files), use)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    if any(_is_readable_again(files, damage) for damage in entry.index.damages):
        return None
    with suppress(OSError):  # of another user
        os.utime(directory / USED_FILE)
    return entry


def _read(directory: Path, count: int, use: OpenFile) -> Entry:
    """Opens a cache.

    Raises:
        ValueError: Its files do not fit each other. Other errors: they are missing or damaged.
    """
    index, shape = _read_index(directory)
    file = OpenFile(directory / PIXELS_FILE)
    with open(file.descriptor, "rb", buffering=0, closefd=False) as stream:
        npy.read_magic(stream)
        header = npy.read_array_header_1_0(stream)
        offset = stream.tell()
        is_right = header == (tuple(shape), False, np.dtype(np.uint8))
        if not is_right or os.fstat(file.descriptor).st_size != offset + math.prod(shape):
            raise ValueError(f"{directory / PIXELS_FILE} is damaged")
        pixels = np.memmap(stream, np.uint8, "r", offset, tuple(shape))
    if not count == shape[0] == len(index.sizes) == len(index.hashes):
        raise ValueError(f"{directory / INDEX_FILE} is damaged")
    return Entry(directory, pixels, index, file, offset, use)


def _read_index(directory: Path) -> tuple[Index, list[int]]:
    about = json.loads((directory / ABOUT_FILE).read_text())
    if about["format"] != FORMAT:
        raise ValueError(about["format"])
    with np.load(directory / INDEX_FILE, allow_pickle=False) as arrays:
        sizes, hashes = arrays["sizes"], arrays["hashes"]
    damages = tuple(Damage(*item) for item in about["unreadable"])
    index = Index(sizes, hashes, damages, about["treatments"], about["seconds"])
    return index, about["shape"]


def _is_readable_again(files: Sequence[ImageFile], damage: Damage) -> bool:
    """Returns whether a file that the system did not let read can be read now."""
    if damage.in_content:
        return False
    try:
        with Path(files[damage.number].path).open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def write_index(directory: Path, index: Index, shape: Sequence[int], key: str) -> None:
    """Writes everything but the pixels of a cache, and flushes it to disk."""
    about: dict[str, Any] = {
        "format": FORMAT,
        "key": key,
        "shape": list(shape),
        "treatments": index.treatments,
        "unreadable": [[item.number, item.reason, item.in_content] for item in index.damages],
        "seconds": round(index.seconds, 1),
    }
    with (directory / INDEX_FILE).open("wb") as file:
        np.savez(file, sizes=index.sizes, hashes=index.hashes)
        _flush(file.fileno(), file.flush)
    with (directory / ABOUT_FILE).open("w") as text:
        json.dump(about, text, indent=1)
        _flush(text.fileno(), text.flush)
    (directory / USED_FILE).touch()


def _flush(descriptor: int, flush: Any) -> None:
    flush()
    os.fsync(descriptor)
