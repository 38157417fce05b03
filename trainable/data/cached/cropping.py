"""Crops and flips batch after batch, with the kind of resampling that suits the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.cached.boxes import Boxes
from trainable.data.cached.resampling import Interpolation, crop_batch, crop_image

CHUNK = 16
"""Images that a thread crops before it takes the next ones."""


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
        """Crops image by image, in as many threads as torch has."""
        start = 0
        with ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="crop") as pool:
            for batch in batches:
                part = slice(start, start + len(batch))
                start += len(batch)
                yield torch.from_numpy(
                    self._crop_images(batch.numpy(), boxes[part], mirrored[part], pool)
                )

    def _crop_images(
        self,
        pixels: NDArray[np.uint8],
        boxes: Boxes,
        mirrored: NDArray[np.bool_],
        pool: Executor,
    ) -> NDArray[np.uint8]:
        size = self._size
        images = np.empty((len(pixels), size, size, pixels.shape[3]), dtype=np.uint8)
        draws = list(zip(boxes.tolist(), mirrored.tolist(), strict=True))

        def crop_some(first: int) -> None:
            for number in range(first, min(first + CHUNK, len(pixels))):
                box, is_mirrored = draws[number]
                image = crop_image(pixels[number], box, size, self._interpolation)
                images[number] = image[:, ::-1] if is_mirrored else image

        for _ in pool.map(crop_some, range(0, len(pixels), CHUNK)):
            pass
        return images

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
        flipped = np.flatnonzero(mirrored[start : start + len(pixels)])
        start += len(pixels)
        if len(flipped):
            numbers = _to(flipped, pixels.device)
            pixels.index_copy_(0, numbers, pixels.index_select(0, numbers).flip(2))
        yield pixels


def _to(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copies an array to a device; the host does not wait."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
