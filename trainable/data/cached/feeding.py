"""Brings stored images to the device, batch by batch; the next batches meanwhile, if it pays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.cache.decoded import DecodedImages

AHEAD = 2
"""Batches that are read while the training works on another one."""
GPU_SHARE = 0.25
"""Largest share of a GPU's free memory that the images of a split may take to be kept there."""

Numbers = NDArray[np.int64]
"""Numbers of images."""
Item = TypeVar("Item")
Value = TypeVar("Value")


class Feeder:
    """Yields batches of stored images on a device.

    On a GPU, images that take little of its memory are kept there. Others are read into pinned
    memory and copied by a stream of their own while the training works. Not yet run on a GPU.

    Args:
        images: The stored images.
        device: The device of the batches.
    """

    def __init__(self, images: DecodedImages, device: torch.device) -> None:
        self._images = images
        self._device = device
        self._resident: Tensor | None = None

    def batches(self, parts: Sequence[Numbers]) -> Iterator[Tensor]:
        """Yields `[B, H, W, 3]` uint8 for the numbers of every part."""
        if self._device.type == "cuda":
            yield from self._batches_on_gpu(parts)
        elif self._images.fits_memory:
            for part in parts:
                yield torch.from_numpy(self._images.read(part))
        else:
            for pixels in make_ahead(self._images.read, parts, AHEAD):
                yield torch.from_numpy(pixels)

    def _batches_on_gpu(self, parts: Sequence[Numbers]) -> Iterator[Tensor]:
        if self._resident is None and self._fits_gpu():
            self._resident = torch.from_numpy(self._images.pixels.copy()).to(self._device)
        if self._resident is not None:
            for part in parts:
                rows = torch.from_numpy(self._images.rows[part]).pin_memory()
                yield self._resident.index_select(0, rows.to(self._device, non_blocking=True))
        else:
            yield from _upload(self._images, parts, self._device)

    def _fits_gpu(self) -> bool:
        free, total = torch.cuda.mem_get_info(self._device)
        limit = total * torch.cuda.get_per_process_memory_fraction(self._device)
        return self._images.pixels.nbytes <= GPU_SHARE * min(free, limit)


@dataclass
class _PinnedBatch:
    """A buffer from which batches are copied to a GPU."""

    pixels: Tensor
    copied: torch.cuda.Event


def _upload(
    images: DecodedImages, parts: Sequence[Numbers], device: torch.device
) -> Iterator[Tensor]:
    """Yields batches on a GPU; each is read and copied while the training works on others."""
    shape = (max(map(len, parts)), *images.pixels.shape[1:])
    buffers = [
        _PinnedBatch(
            torch.empty(shape, dtype=torch.uint8, pin_memory=True),
            torch.cuda.Event(),  # type: ignore[no-untyped-call]
        )
        for _ in range(AHEAD + 1)
    ]
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def read(number: int) -> tuple[_PinnedBatch, int]:
        buffer, count = buffers[number % len(buffers)], len(parts[number])
        buffer.copied.synchronize()
        images.read(parts[number], buffer.pixels.numpy()[:count])
        return buffer, count

    for buffer, count in make_ahead(read, range(len(parts)), AHEAD):
        with torch.cuda.stream(copying):
            pixels = buffer.pixels[:count].to(device, non_blocking=True)
            buffer.copied.record(copying)
        training = torch.cuda.current_stream(device)
        training.wait_event(buffer.copied)
        pixels.record_stream(training)
        yield pixels


def make_ahead(
    make: Callable[[Item], Value], items: Sequence[Item], count: int
) -> Iterator[Value]:
    """Yields `make(item)` for every item in order; the next `count` are made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        pending = deque(thread.submit(make, item) for item in items[:count])
        try:
            for item in items[count:]:
                value = pending.popleft().result()
                pending.append(thread.submit(make, item))
                yield value
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
