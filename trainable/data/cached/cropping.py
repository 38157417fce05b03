"""Crops and flips batch after batch, with the kind of resampling that suits the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.cached.boxes import Boxes
from trainable.data.cached.resampling import Interpolation, crop_batch, crop_image

POOLED_SIZE = 128
"""Height and width of results from which on a pool of threads pays: smaller images take so little
time that the threads wait for each other more than they work."""


class Cropper:
    """Crops, resizes and flips the images of a pass.

    Args:
        size: Height and width of the results.
        interpolation: How images are resized.
        device: The device of the batches.
    """

    def __init__(self, size: int, interpolation: Interpolation, device: torch.device) -> None:
        self._size = size
        self._interpolation = interpolation
        self._device = device

    def crop(
        self, batches: Iterable[Tensor], boxes: Boxes, mirrored: NDArray[np.bool_]
    ) -> Iterator[Tensor]:
        """Yields `[B, size, size, C]` uint8 for every batch.

        Args:
            batches: `[B, H, W, C]` uint8.
            boxes: `[N, 4]`: part of every image of the pass.
            mirrored: `[N]`: whether it is flipped left to right.
        """
        if self._device.type == "cpu":
            return self._crop_on_cpu(batches, boxes, mirrored)
        return self.crop_at_once(batches, boxes, mirrored)

    def _crop_on_cpu(
        self, batches: Iterable[Tensor], boxes: Boxes, mirrored: NDArray[np.bool_]
    ) -> Iterator[Tensor]:
        """Crops image by image, large ones in as many threads as torch has."""
        start, threads = 0, torch.get_num_threads() if self._size >= POOLED_SIZE else 1
        with ThreadPoolExecutor(threads, thread_name_prefix="crop") as pool:
            for batch in batches:
                part = slice(start, start + len(batch))
                start += len(batch)
                pixels, places = batch.numpy(), boxes[part].tolist()
                shape = (len(pixels), pixels.shape[3], self._size, self._size)
                planes = np.empty(shape, dtype=np.uint8)
                length = -(-len(pixels) // threads)
                runs = [slice(n, n + length) for n in range(0, len(pixels), length)]
                crop = partial(self._crop_images, pixels, places, planes)
                for _ in map(crop, runs) if threads == 1 else pool.map(crop, runs):
                    pass
                images = torch.from_numpy(planes)
                flip(images, mirrored[part], 3)
                yield images.permute(0, 2, 3, 1).contiguous()

    def _crop_images(
        self,
        pixels: NDArray[np.uint8],
        boxes: list[list[int]],
        planes: NDArray[np.uint8],
        run: slice,
    ) -> None:
        """Writes the crops of some images of a batch to `planes`, `[B, C, size, size]`."""
        for number in range(*run.indices(len(pixels))):
            planes[number] = crop_image(
                pixels[number], boxes[number], self._size, self._interpolation
            )

    def crop_at_once(
        self, batches: Iterable[Tensor], boxes: Boxes, mirrored: NDArray[np.bool_]
    ) -> Iterator[Tensor]:
        """Crops whole batches; the host does not wait."""
        all_boxes, all_flips = _to(boxes, self._device), _to(mirrored, self._device)
        start = 0
        for pixels in batches:
            part = slice(start, start + len(pixels))
            start += len(pixels)
            yield crop_batch(
                pixels, all_boxes[part], all_flips[part], self._size, self._interpolation
            )


def flip_batches(batches: Iterable[Tensor], mirrored: NDArray[np.bool_]) -> Iterator[Tensor]:
    """Yields batches `[B, H, W, C]` of which some images have been flipped left to right.

    Args:
        batches: Batches, which are changed in place.
        mirrored: `[N]`: whether an image of the pass is flipped.
    """
    start = 0
    for pixels in batches:
        flip(pixels, mirrored[start : start + len(pixels)], 2)
        start += len(pixels)
        yield pixels


def flip(images: Tensor, mirrored: NDArray[np.bool_], dimension: int) -> None:
    """Flips some images of a batch in place; the host does not wait.

    Args:
        images: The batch.
        mirrored: `[B]`: whether an image is flipped.
        dimension: The dimension of the columns.
    """
    flipped = np.flatnonzero(mirrored)
    if len(flipped):
        numbers = _to(flipped, images.device)
        images.index_copy_(0, numbers, images.index_select(0, numbers).flip(dimension))


def _to(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copies an array to a device; the host does not wait."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
