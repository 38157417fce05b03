"""Decodes all files of a data set into a directory, with a pool of threads.

Pillow gives up Python's global lock while it decodes and resizes. Pixels are written by `pwrite`
and not through a mapping, where a full disk would kill the process.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainable.data.cache.entry import PIXELS_FILE, Damage, Index, write_index
from trainable.data.cache.files import ImageFile
from trainable.data.cache.settings import CHANNELS, CacheSettings
from trainable.data.cached.middle import FILTERS, crop_middle
from trainable.data.image_file import DecodedImage, Treatment, decode_image, measure_image
from trainable.errors import DataError

HASH_BYTES = 16
CHUNK_FILES = 32
"""Files that a thread decodes before it takes the next ones."""
SAMPLED_FILES = 100
"""Files whose size is read first; if they agree, the others are expected to agree with them."""
REPORT_S = 1.0
"""Interval of the calls that report the progress."""
ROOM_FACTOR = 2
"""JPEG images may be decoded at a fraction of their size down to this multiple of the side."""

NO_ALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""Errors of a file system that cannot take space before it is written to."""


class _LargerImageError(Exception):
    """An image does not fit into the shape that the sampled files have."""


@dataclass
class _Content:
    """The result of decoding, by the number of the file."""

    sizes: NDArray[np.int32]
    hashes: NDArray[np.uint8]
    damages: list[Damage] = field(default_factory=list)
    treatments: Counter[Treatment] = field(default_factory=Counter)
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def estimate_bytes(files: Sequence[ImageFile], settings: CacheSettings) -> int:
    """Returns the size of a cache, from the headers of some files."""
    height, width = _measure(_sample(files), settings)
    return len(files) * height * width * CHANNELS


def build(
    directory: Path,
    key: str,
    files: Sequence[ImageFile],
    settings: CacheSettings,
    report: Callable[[int], None],
) -> None:
    """Decodes all files into a directory.

    Args:
        directory: An existing, empty directory.
        key: Name of the cache.
        files: The files, in the order of the pixels.
        settings: How they are decoded.
        report: Called every second with the number of decoded files.

    Raises:
        OSError: The disk is full.
    """
    start = time.monotonic()
    shape = _measure(_sample(files), settings)
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="decode") as pool:
        try:
            try:
                content = _decode_all(directory, files, settings, shape, pool, report)
            except _LargerImageError:
                shape = _measure_all(files, settings, pool)
                content = _decode_all(directory, files, settings, shape, pool, report)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    treatments = {kind.name: count for kind, count in content.treatments.items()}
    damages = tuple(sorted(content.damages, key=lambda damage: damage.number))
    seconds = time.monotonic() - start
    index = Index(content.sizes, content.hashes, damages, treatments, seconds)
    write_index(directory, index, (len(files), *shape, CHANNELS), key)


def _sample(files: Sequence[ImageFile]) -> Sequence[ImageFile]:
    return files[:: max(1, len(files) // SAMPLED_FILES)]


def _measure(files: Iterable[ImageFile], settings: CacheSettings) -> tuple[int, int]:
    """Returns the largest stored height and width of files, from their headers."""
    if settings.crop_share is not None:
        return settings.side, settings.side
    height, width = 1, 1
    for file in files:
        if height == width == settings.side:
            break
        with suppress(DataError, OSError):
            size = measure_image(file.path, settings.rules)
            height, width = max(height, size[0]), max(width, size[1])
            height, width = min(height, settings.side), min(width, settings.side)
    return height, width


def _measure_all(
    files: Sequence[ImageFile], settings: CacheSettings, pool: ThreadPoolExecutor
) -> tuple[int, int]:
    parts = [files[start::CHUNK_FILES] for start in range(CHUNK_FILES)]
    heights, widths = zip(*pool.map(lambda part: _measure(part, settings), parts), strict=True)
    return max(heights), max(widths)


def _decode_all(
    directory: Path,
    files: Sequence[ImageFile],
    settings: CacheSettings,
    shape: tuple[int, int],
    pool: ThreadPoolExecutor,
    report: Callable[[int], None],
) -> _Content:
    """Writes the pixels of all files.

    Raises:
        _LargerImageError: An image is larger than `shape`.
    """
    count = len(files)
    content = _Content(np.zeros((count, 2), np.int32), np.zeros((count, HASH_BYTES), np.uint8))
    descriptor = os.open(directory / PIXELS_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        offset = _allocate(descriptor, (count, *shape, CHANNELS))

        def decode(start: int) -> None:
            for number in range(start, min(start + CHUNK_FILES, count)):
                row = _decode(files[number], number, settings, shape, content)
                if row is not None:
                    _write(descriptor, row, offset + number * row.nbytes)
            with content.lock:
                content.done = min(content.done + CHUNK_FILES, count)

        futures = [pool.submit(decode, start) for start in range(0, count, CHUNK_FILES)]
        _wait(futures, lambda: report(content.done))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return content


def _wait(futures: Sequence[Future[None]], report: Callable[[], None]) -> None:
    """Waits for all; after a failure the ones that have not begun are cancelled."""
    pending = set(futures)
    try:
        while pending:
            done, pending = wait(pending, REPORT_S, FIRST_EXCEPTION)
            for future in done:
                future.result()
            report()
    except BaseException:
        for future in futures:
            future.cancel()
        wait([future for future in futures if not future.cancelled()])
        raise


def _allocate(descriptor: int, shape: tuple[int, ...]) -> int:
    """Writes the header of an array and takes its space on the disk; returns the header's size.

    Raises:
        OSError: There is no such space.
    """
    header = BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, description)
    data = header.getvalue()
    size = len(data) + int(np.prod(shape, dtype=np.int64))
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in NO_ALLOCATION:
                raise
    os.pwrite(descriptor, data, 0)
    return len(data)


def _decode(
    file: ImageFile,
    number: int,
    settings: CacheSettings,
    shape: tuple[int, int],
    content: _Content,
) -> NDArray[np.uint8] | None:
    """Returns the pixels of a file in the top left corner of `[H, W, 3]`; None if unreadable."""
    try:
        data = Path(file.path).read_bytes()
    except OSError as error:
        damage = Damage(number, error.strerror or str(error), in_content=False)
        content.damages.append(damage)
        return None
    content.hashes[number] = np.frombuffer(
        hashlib.blake2b(data, digest_size=HASH_BYTES).digest(), np.uint8
    )
    is_exact = settings.interpolation == "nearest" or settings.crop_share is not None
    try:
        decoded = decode_image(
            BytesIO(data),
            settings.rules,
            reduce_to=None if is_exact else ROOM_FACTOR * settings.side,
        )
    except DataError as error:
        content.damages.append(Damage(number, str(error), in_content=True))
        return None
    row = _fit(decoded, settings, shape)
    content.sizes[number] = decoded.size
    with content.lock:
        content.treatments.update(decoded.treatments)
    return row


def _fit(
    decoded: DecodedImage, settings: CacheSettings, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Returns what is stored of an image, in the top left corner of `[H, W, 3]`.

    Raises:
        _LargerImageError: It is larger than `shape`.
    """
    image = decoded.rgb
    if settings.crop_share is not None:
        return crop_middle(image, settings.side, settings.crop_share, settings.interpolation)
    height, width = (min(length, settings.side) for length in decoded.size)
    if height > shape[0] or width > shape[1]:
        raise _LargerImageError
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[settings.interpolation])
    if (height, width) == shape:
        return np.ascontiguousarray(image)
    row = np.zeros((*shape, CHANNELS), np.uint8)
    row[:height, :width] = np.asarray(image)
    return row


def _write(descriptor: int, row: NDArray[np.uint8], offset: int) -> None:
    view = memoryview(row.tobytes())
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
