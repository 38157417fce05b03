"""Arrays that are larger than the GPU's memory: batches are made in main memory and copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainable.config import AugmentConfig
from trainable.data.arrays import ImageArrays
from trainable.data.resident import ResidentSource
from trainable.data.source import Batch, Split

DEVICE_SHARE = 0.8
"""Share of the GPU's free memory that a data set may take; the model needs the rest."""
GIB = 2**30


class HostSource(ResidentSource):
    """A `ResidentSource` in main memory, whose batches are copied to a device.

    Args:
        arrays: The data set.
        device: The device of the batches.
        augment: Whether training images are cropped and flipped.
        mean: Mean of each channel that is subtracted; None takes that of the data.
        std: Standard deviation of each channel; None takes that of the data.
    """

    def __init__(
        self,
        arrays: ImageArrays,
        device: torch.device,
        *,
        augment: bool,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(arrays, torch.device("cpu"), augment=augment, mean=mean, std=std)
        self._target = device

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one shuffled, augmented pass; see `ImageSource`."""
        batches = super().train_batches(batch_size, seed=seed, augment=augment, order=order)
        return self._copy(batches)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        return self._copy(super().eval_batches(split, batch_size))

    def _copy(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for images, labels in batches:
            yield self._to_target(images), self._to_target(labels)

    def _to_target(self, tensor: Tensor) -> Tensor:
        if self._target.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._target, non_blocking=True)


def hold_arrays(
    arrays: ImageArrays,
    device: torch.device,
    *,
    augment: bool,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResidentSource:
    """Returns a source that holds arrays on the device if they fit, otherwise in main memory.

    Args:
        arrays: The data set.
        device: The device of the batches.
        augment: Whether training images are cropped and flipped.
        mean: Mean of each channel that is subtracted; None takes that of the data.
        std: Standard deviation of each channel; None takes that of the data.
    """
    if device.type != "cuda":
        return ResidentSource(arrays, device, augment=augment, mean=mean, std=std)
    needed = resident_bytes(arrays, augment=augment)
    free, _ = torch.cuda.mem_get_info(device)
    if needed <= DEVICE_SHARE * free:
        try:
            return ResidentSource(arrays, device, augment=augment, mean=mean, std=std)
        except torch.OutOfMemoryError:  # the process may use a part of the memory only
            torch.cuda.empty_cache()
    source = HostSource(arrays, device, augment=augment, mean=mean, std=std)
    source.notices = (
        f"the images take {needed / GIB:.1f} GiB, too much for the {free / GIB:.1f} GiB that are "
        "free on the GPU: batches are made in main memory and copied, which is slower",
    )
    return source


def resident_bytes(arrays: ImageArrays, *, augment: bool) -> int:
    """Returns the bytes that arrays take on a device, with the margin of random crops."""
    count, height, width, channels = arrays.train.pixels.shape
    margin = 2 * arrays.crop_padding if augment else 0
    others = [int(part.pixels.nbytes) for part in (arrays.test, arrays.val) if part is not None]
    return int(count * (height + margin) * (width + margin) * channels) + sum(others)
