"""Converts the bytes of images to normalised floats."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Normalizer:
    """Maps bytes to `(value / 255 - mean) / std`, channel by channel.

    Args:
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel.
        width: Width of the images in pixels.
        device: The device of the images.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], *, width: int, device: torch.device
    ) -> None:
        means = torch.tensor(mean, dtype=torch.float64)
        stds = torch.tensor(std, dtype=torch.float64)
        # One value per pixel and channel of a whole row: on a CPU, an inner loop over a row is
        # several times faster than one over three channels.
        self._scale = (1 / (255 * stds)).repeat(width).to(device, torch.float32)
        self._bias = (-means / stds).repeat(width).to(device, torch.float32)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalises a batch.

        Args:
            pixels: `[B, H, W, C]` uint8.

        Returns:
            `[B, C, H, W]` float32, in channels_last order if there are several channels.
        """
        batch, height, width, channels = pixels.shape
        rows = pixels.reshape(batch, height, width * channels)
        images = rows.float().mul_(self._scale).add_(self._bias)
        if channels == 1:
            return images.unsqueeze(1)
        return images.view(pixels.shape).permute(0, 3, 1, 2)
