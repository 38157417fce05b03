"""Cuts parts out of stored images and resizes them, as torchvision does with Pillow's filters.

On a CPU one image after the other, by torch's fast kernel for bytes. On a GPU whole batches, by
two products with matrices of weights: no loop, no wait, and the same result every time. Not yet
run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own spelling)
from numpy.typing import NDArray
from torch import Tensor

Interpolation = Literal["bicubic", "bilinear", "nearest"]

SUPPORTS = {"bilinear": 1.0, "bicubic": 2.0}
"""Half of the width of each filter, in pixels of the smaller image."""
BICUBIC_A = -0.5
"""The constant of the bicubic filter in Pillow, and in torch where it is antialiased."""


def crop_image(
    pixels: NDArray[np.uint8], box: Sequence[int], size: int, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """Cuts out a box and resizes it, in the calling thread alone.

    Args:
        pixels: `[H, W, C]`.
        box: Top, left, height and width.
        size: Height and width of the result.
        interpolation: How it is resized.

    Returns:
        `[C, size, size]`, as torch's kernel writes it.
    """
    top, left, height, width = box
    part = pixels[top : top + height, left : left + width]
    if height == width == size:
        return part.transpose(2, 0, 1)
    if interpolation == "nearest":  # the pixel at the centre
        rows, columns = ((2 * np.arange(size) + 1) * old // (2 * size) for old in (height, width))
        return part[rows[:, None], columns].transpose(2, 0, 1)
    # A copy by torch would start threads of its own.
    channels_last = torch.from_numpy(np.ascontiguousarray(part)[None]).permute(0, 3, 1, 2)
    resized = F.interpolate(channels_last, (size, size), mode=interpolation, antialias=True)
    return resized[0].numpy()


def crop_batch(
    pixels: Tensor, boxes: Tensor, mirrored: Tensor, size: int, interpolation: Interpolation
) -> Tensor:
    """Cuts out a box of every image, resizes it and flips some.

    Args:
        pixels: `[B, H, W, C]` uint8.
        boxes: `[B, 4]` int64: top, left, height and width.
        mirrored: `[B]` bool.
        size: Height and width of the results.
        interpolation: How images are resized.

    Returns:
        `[B, size, size, C]` uint8.
    """
    count, height, width, channels = pixels.shape
    top, left, box_height, box_width = boxes.unbind(1)
    columns = resize_weights(left, box_width, width, size, interpolation)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    rows = resize_weights(top, box_height, height, size, interpolation)
    # Columns first, and bytes between the two, as in Pillow.
    lines = pixels.permute(0, 2, 1, 3).reshape(count, width, height * channels)
    lines = _round_to_bytes(torch.bmm(columns, lines.float()))
    lines = lines.view(count, size, height, channels).permute(0, 2, 1, 3)
    images = torch.bmm(rows, lines.reshape(count, height, size * channels))
    return _round_to_bytes(images).to(torch.uint8).view(count, size, size, channels)


def resize_weights(
    start: Tensor, length: Tensor, total: int, size: int, interpolation: Interpolation
) -> Tensor:
    """Returns the weights of the pixels of a line in those of a part of it that is resized.

    Args:
        start: `[B]`: first pixel of the part.
        length: `[B]`: pixels of the part.
        total: Pixels of the line.
        size: Pixels of the result.
        interpolation: How it is resized.

    Returns:
        `[B, size, total]` float32; each sum over `total` is 1.
    """
    start, length = start[:, None, None], length[:, None, None]
    places = torch.arange(size, device=start.device)[None, :, None]
    pixels = torch.arange(total, device=start.device)[None, None, :]
    if interpolation == "nearest":
        return (pixels == start + (2 * places + 1) * length // (2 * size)).float()
    inside = (pixels >= start) & (pixels < start + length)
    scale = length / size
    centers = start + (places + 0.5) * scale
    stretch = scale.clamp_min(1.0)
    distances = ((pixels + 0.5 - centers) / stretch).abs()
    weights = _bilinear(distances) if interpolation == "bilinear" else _bicubic(distances)
    weights = weights * (inside & (distances < SUPPORTS[interpolation]))
    return weights / weights.sum(2, keepdim=True)


def _bilinear(distances: Tensor) -> Tensor:
    return (1 - distances).clamp_min(0)


def _bicubic(distances: Tensor) -> Tensor:
    a, x = BICUBIC_A, distances
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, far)


def _round_to_bytes(values: Tensor) -> Tensor:
    return (values + 0.5).floor().clamp(0, 255)
