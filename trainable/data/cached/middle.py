"""The crop in the middle of an image, which evaluation uses. Does not import torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


def crop_middle(
    image: Image.Image,
    size: int,
    crop_share: float,
    interpolation: Literal["bicubic", "bilinear", "nearest"],
) -> NDArray[np.uint8]:
    """Resizes the shorter side and crops the middle, as torchvision's `Resize` and `CenterCrop`.

    Args:
        image: An image of any size.
        size: Height and width of the result.
        crop_share: Share of the shorter side that the crop has.
        interpolation: How the image is resized.

    Returns:
        `[size, size, channels]`.
    """
    side = round(size / crop_share)
    shorter, longer = sorted(image.size)
    other = int(side * longer / shorter)
    width, height = (other, side) if image.width > image.height else (side, other)
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[interpolation])
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.array(image.crop((left, top, left + size, top + size)))
