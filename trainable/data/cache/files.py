"""The files of a data set as the cache knows them, and the name that follows from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import astuple
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainable.data.cache.settings import CHANNELS, CacheSettings
from trainable.data.listing import ListedImage
from trainable.errors import DataError, list_first

FORMAT = 1
"""Version of the files and of the rules for decoding and resizing."""
DECODER = "pillow"
MAX_LISTED = 20
"""Files that a message names."""


class ImageFile(NamedTuple):
    """A file and the state in which it was found."""

    key: str
    path: str
    size: int
    mtime_ns: int


def list_files(images: Sequence[ListedImage]) -> tuple[list[ImageFile], NDArray[np.int64]]:
    """Lists the files of images, each once, in an order that does not depend on splits or labels.

    Returns:
        The files by key, and for every image the number of its file, `[N]`.

    Raises:
        DataError: Files are missing; the text names them.
    """
    keys = {image.path: image.key for image in images}
    files = []
    missing = []
    for path, key in sorted(keys.items(), key=lambda item: (item[1], item[0])):
        try:
            status = os.stat(path)  # noqa: PTH116  (Path takes three times as long)
        except OSError as error:
            missing.append(f"{path}: {error.strerror}")
        else:
            files.append(ImageFile(key, path, status.st_size, status.st_mtime_ns))
    if missing:
        raise DataError(f"files cannot be read: {shorten(missing)}")
    numbers = {file.path: number for number, file in enumerate(files)}
    return files, np.array([numbers[image.path] for image in images], dtype=np.int64)


def cache_key(files: Sequence[ImageFile], settings: CacheSettings) -> str:
    """Returns the name of a cache: a hash of everything that its pixels depend on.

    The place of the data set, labels and splits are not part of it.
    """
    digest = hashlib.blake2b(digest_size=16)
    size = (settings.side, settings.crop_share)
    rules = (*size, CHANNELS, settings.interpolation, *astuple(settings.rules))
    digest.update(repr((FORMAT, DECODER, *rules)).encode())
    for file in files:
        digest.update(
            f"\0{file.key}\0{file.size} {file.mtime_ns}".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def shorten(lines: Sequence[str]) -> str:
    """Returns the first lines as one, for a message."""
    return list_first(lines, MAX_LISTED, "; ")
