"""The decoded images of a data set, as a training reads them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.data.cache.entry import PIXELS_FILE, Entry
from trainable.data.cache.locks import OpenFile
from trainable.data.cache.memory import available_memory
from trainable.data.image_file import Treatment

MEMORY_SHARE = 0.5
"""Largest share of the available memory that images may take to be read through the mapping."""
AHEAD_BYTES = 2**24
"""Bytes that are read at once by `read_ahead`."""


class DecodedImages:
    """The decoded images of a data set, in the order in which they were asked for.

    Images keep the size of their file but for sides longer than `CacheSettings.side`, which are
    reduced to it, each for itself. An image is in the top left corner of its row.

    Args:
        entry: The open cache.
        rows: `[N]`: the row of every image.
        notices: Lines for the user.
        unreadable: Number of an image -> why it cannot be read.
        threads: Threads that read images where they do not fit into memory.
    """

    def __init__(
        self,
        entry: Entry,
        rows: NDArray[np.int64],
        notices: Sequence[str] = (),
        unreadable: Mapping[int, str] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        self._entry = entry
        self._threads = threads
        self.directory: Path = entry.directory
        self.rows = rows
        """`[N]`: image `i` is `pixels[rows[i]]`."""
        self.pixels: NDArray[np.uint8] = entry.pixels
        """`[M, H, W, 3]`, mapped and read-only; a file that occurs twice has one row."""
        self.sizes: NDArray[np.int32] = entry.index.sizes[rows]
        """`[N, 2]`: height and width of the image in the file; 0 if it is unreadable."""
        limit = np.array(entry.pixels.shape[1:3], dtype=np.int32)
        self.stored: NDArray[np.int32] = np.minimum(self.sizes, limit)
        """`[N, 2]`: height and width that an image takes in `pixels`."""
        self.hashes: NDArray[np.uint8] = entry.index.hashes[rows]
        """`[N, 16]`: hash of the content of the file."""
        self.unreadable = unreadable or {}
        """Number of an image -> why it cannot be read. Its pixels are zeros."""
        self.notices: tuple[str, ...] = tuple(notices)
        self.treatments: Mapping[Treatment, int] = {
            Treatment[name]: count for name, count in entry.index.treatments.items()
        }
        """Treatment of images besides resizing -> number of images."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def fits_memory(self) -> bool:
        """Whether the images may stay in main memory, where all processes share them."""
        return self.pixels.nbytes <= MEMORY_SHARE * available_memory()

    def read(
        self, images: Sequence[int] | NDArray[np.int64], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Returns images by their number, `[B, H, W, 3]` uint8.

        Args:
            images: Numbers of images.
            out: An array of that shape to write to.
        """
        rows = self.rows[np.asarray(images, dtype=np.int64)]
        if out is None:
            out = np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        if self.fits_memory:
            np.take(self.pixels, rows, axis=0, out=out, mode="clip")
        else:
            self._read_file(rows, out)
        return out

    def _read_file(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Reads whole images; through the mapping, each page would be read by itself."""
        entry = self._entry
        size, offset, descriptor = out[0].nbytes, entry.offset, entry.file.descriptor

        def read(place: int) -> None:
            view = memoryview(out[place]).cast("B")
            start = offset + int(rows[place]) * size
            while view:
                count = os.preadv(descriptor, [view], start)
                if not count:
                    raise OSError(f"{entry.directory / PIXELS_FILE} ends too early")
                view, start = view[count:], start + count

        order = np.argsort(rows, kind="stable").tolist()
        for _ in self._pool.map(read, order):
            pass

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(4, self._threads), thread_name_prefix="read")

    def read_ahead(self) -> None:
        """Reads the file once from front to back, in a thread, if it fits into memory.

        Random access to a file that is not in memory would read the disk page by page.
        """
        if self.fits_memory:
            threading.Thread(target=_read_through, args=(self._entry.file,), daemon=True).start()


def _read_through(file: OpenFile) -> None:
    buffer, start = bytearray(AHEAD_BYTES), 0
    with suppress(OSError):  # only makes what follows faster
        while count := os.preadv(file.descriptor, [buffer], start):
            start += count
