"""A device-resident loop after the design of airbench's `CifarLoader`, written anew, for E3.

The whole set lies on the device in the precision of the net, normalised, and flipped and padded
once. An epoch crops all of it by masks, flips all of it every other time, and takes batches by
index: no loader, no copies from the host, nothing that waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

PADDING = 4


class AirbenchLoader:
    """Batches of a training set.

    Args:
        pixels: Images `[N, H, W, C]` uint8.
        labels: `[N]`.
        statistics: Mean and standard deviation of each channel, in [0, 1].
        batch_size: Images a batch; the last one may have fewer.
        device: Where all of it lies.
        dtype: That the net takes.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        statistics: tuple[tuple[float, ...], tuple[float, ...]],
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._labels = torch.as_tensor(labels, device=device)
        self._batch_size = batch_size
        self._size = pixels.shape[1]
        images = torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2).to(dtype) / 255
        mean, std = (
            torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)
            for values in statistics
        )
        images = (images - mean) / std
        flipped = (torch.rand(len(images), device=device) < 0.5).view(-1, 1, 1, 1)
        images = torch.where(flipped, images.flip(-1), images)
        padded = pad(images, (PADDING,) * 4, "reflect")
        self._padded = padded.contiguous(memory_format=torch.channels_last)
        self._epoch = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images = cropped(self._padded, self._size)
        if self._epoch % 2:
            images = images.flip(-1)
        self._epoch += 1
        order = torch.randperm(len(images), device=images.device)
        for index in order.split(self._batch_size):
            yield images[index], self._labels[index]


def cropped(images: Tensor, size: int) -> Tensor:
    """Each image cut at a random place, rows first, then columns: a masked copy for each shift."""
    reach = (images.shape[-1] - size) // 2
    shifts = torch.randint(-reach, reach + 1, (len(images), 2), device=images.device)
    count, channels, _, width = images.shape
    rows = images.new_empty((count, channels, size, width))
    cuts = images.new_empty((count, channels, size, size))
    for shift in range(-reach, reach + 1):
        chosen, first = shifts[:, 0] == shift, reach + shift
        rows[chosen] = images[chosen, :, first : first + size, :]
    for shift in range(-reach, reach + 1):
        chosen, first = shifts[:, 1] == shift, reach + shift
        cuts[chosen] = rows[chosen, :, :, first : first + size]
    return cuts


def in_low_precision(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Converts a network, all but its batch norms, which airbench keeps in float32.

    Args:
        model: Changed in place.
        dtype: Of its weights.
    """
    model = model.to(dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return model


def airbench_loop(
    model: nn.Module, loader: AirbenchLoader, optimizer: torch.optim.Optimizer
) -> None:
    """Trains an epoch; losses are summed, so that half precision needs no scaling."""
    model.train()
    for images, labels in loader:
        loss = cross_entropy(model(images), labels, reduction="sum")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
