"""Finds images that a data set has more than once: byte for byte, or nearly the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DIGEST_BYTES = 16
READ_BYTES = 2**16
"""Bytes of a file that are read at a time."""
MIN_SIDE = 32
"""Pixels of a side below which images have no difference hash; small ones resemble one another."""
MAX_DISTANCE = 3
"""Bits of two difference hashes that may differ between nearly equal images."""
MIN_GRADIENTS = 8
"""Bits that must be set and not set; flat images have too few and resemble one another."""
MAX_PAIRED = 20_000
"""Images up to which all pairs are compared."""
BLOCK = 512
"""Images that are compared with all others at a time."""


def group_equal(digests: Sequence[Hashable | None]) -> list[list[int]]:
    """Returns the groups of positions that have the same digest; None equals nothing."""
    groups: dict[Hashable, list[int]] = {}
    for position, digest in enumerate(digests):
        if digest is not None:
            groups.setdefault(digest, []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def digest_files(paths: Sequence[str], threads: int) -> list[bytes | None]:
    """Returns a hash of the content of files that share their size with another one.

    Args:
        paths: The files.
        threads: Files that are read at a time.

    Returns:
        None for a file of a size of its own, and for one that cannot be read.
    """
    sizes = [_file_size(path) for path in paths]
    shared = {position for group in group_equal(sizes) for position in group}
    digests: list[bytes | None] = [None] * len(paths)

    def fill(positions: Sequence[int]) -> None:
        for position in positions:
            digests[position] = _digest_file(paths[position])

    with ThreadPoolExecutor(threads) as pool:
        ordered = sorted(shared)
        list(pool.map(fill, (ordered[start::threads] for start in range(threads))))
    return digests


def _file_size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def _digest_file(path: str) -> bytes | None:
    digest = blake2b(digest_size=DIGEST_BYTES)
    try:
        with Path(path).open("rb") as file:
            for part in iter(partial(file.read, READ_BYTES), b""):
                digest.update(part)
    except OSError:
        return None
    return digest.digest()


def difference_hash(image: Image.Image) -> int:
    """Returns 64 bits: whether each of 8x8 areas is brighter than its right neighbour.

    This is N. Krawetz's dHash. Resizing, compression and brightness change few of the bits.
    """
    small = image.convert("L").resize((9, 8), Image.Resampling.BILINEAR, reducing_gap=2)
    values = np.asarray(small)
    return int.from_bytes(np.packbits(values[:, :-1] > values[:, 1:]).tobytes(), "big")


def find_near(hashes: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Yields the pairs of positions whose difference hashes are nearly equal.

    Args:
        hashes: Difference hashes; None and those of flat images resemble nothing. Of more than
            `MAX_PAIRED`, only equal ones are paired, each with the first.
    """
    usable = [
        position
        for position, value in enumerate(hashes)
        if value is not None and MIN_GRADIENTS <= value.bit_count() <= 64 - MIN_GRADIENTS
    ]
    if len(usable) > MAX_PAIRED:
        for first, *others in group_equal([hashes[position] for position in usable]):
            yield from ((usable[first], usable[other]) for other in others)
        return
    values: NDArray[np.uint64] = np.array([hashes[p] for p in usable], dtype=np.uint64)
    for start in range(0, len(values), BLOCK):
        rows = values[start : start + BLOCK, None]
        distances = np.bitwise_count(rows ^ values[None, start:])
        firsts, seconds = np.nonzero(distances <= MAX_DISTANCE)
        for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
            if first < second:
                yield usable[start + first], usable[start + second]


def find_copies(
    trained: Sequence[str], evaluated: Sequence[str], *, limit: int, threads: int
) -> tuple[list[tuple[str, str]], list[str]]:
    """Finds files of an evaluation that are also trained, byte for byte.

    Only files of equal sizes are read.

    Args:
        trained: The training files.
        evaluated: The files of other splits.
        limit: Files that may be read. Of more, some files of the evaluation that are spread evenly
            are looked for.
        threads: Files that are read at a time.

    Returns:
        Pairs of an evaluated and a trained file, and the evaluated files that were looked for.
    """
    by_size: dict[int | None, list[str]] = {}
    for path in trained:
        by_size.setdefault(_file_size(path), []).append(path)
    sizes = {path: size for path in evaluated if (size := _file_size(path)) in by_size}
    step, to_read, looked_for = 1, _list_to_read(sizes, by_size), list(evaluated)
    while len(to_read) > limit and step < len(evaluated):
        step *= 2
        looked_for = list(evaluated[::step])
        to_read = _list_to_read({p: sizes[p] for p in looked_for if p in sizes}, by_size)
    digests = dict(zip(to_read, digest_files(to_read, threads), strict=True))
    first_with = {digests[path]: path for path in reversed(trained) if path in digests}
    return [
        (path, first_with[digest])
        for path in looked_for
        if (digest := digests.get(path)) is not None and digest in first_with
    ], looked_for


def _list_to_read(
    sizes: Mapping[str, int | None], by_size: Mapping[int | None, list[str]]
) -> list[str]:
    trained = [path for size in dict.fromkeys(sizes.values()) for path in by_size[size]]
    return list(dict.fromkeys([*sizes, *trained]))
