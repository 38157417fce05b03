"""Resizes, crops and augments 8-bit images of data sets of the user's own.

Images of 1 or 3 channels are changed as Pillow pictures, like those in files; others as tensors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from trainable.augment.in_loader import LoaderAugmentation, Transform
from trainable.config import AugmentConfig, OwnDataset
from trainable.config.preprocessing import complete_preprocessing
from trainable.data.own.measure import crop_padding

PICTURE_CHANNELS = (1, 3)


class OwnTransforms:
    """Changes images of one data set.

    With `dataset.image_size` they are resized and cropped as images in files are. Otherwise they
    have one size; training images are padded, cropped at a random place and flipped.

    Args:
        dataset: The config's `dataset` section.
        shape: Channels, height and width that images get.
    """

    def __init__(self, dataset: OwnDataset, shape: tuple[int, int, int]) -> None:
        self._channels, *self._size = shape
        self._augments = dataset.augment
        used = complete_preprocessing(dataset, self._channels)
        self._interpolation = v2.InterpolationMode(used.interpolation)
        if dataset.image_size is None:
            self._plain: Transform = v2.Identity()
            self._crop: Transform = v2.RandomCrop(self._size, crop_padding(*self._size))
        else:
            side = round(dataset.image_size / used.crop_share)
            resize = v2.Resize(side, self._interpolation)
            self._plain = v2.Compose([resize, v2.CenterCrop(self._size)])
            self._crop = v2.RandomResizedCrop(self._size, interpolation=self._interpolation)

    def plain(self, pixels: Tensor) -> Tensor:
        """Changes an image for an evaluation.

        Args:
            pixels: `[H, W, C]` uint8.
        """
        return self._run(self._plain, pixels)

    def training(self, augment: AugmentConfig | None) -> Transform:
        """Returns the change of a training image, which draws from torch's global generator.

        Args:
            augment: The config's `augment` section.
        """
        if augment is not None and augment.changes_pixels:
            crop, flips = self._crop if self._augments else self._plain, 0.5 * self._augments
            if augment.crop is not None:
                scale, ratio = (augment.crop.min_scale, 1.0), augment.crop.max_ratio
                ratios = (1 / ratio, ratio)
                crop = v2.RandomResizedCrop(self._size, scale, ratios, self._interpolation)
            change: Transform = LoaderAugmentation(augment, crop, min(self._size), flips=flips)
        elif self._augments:
            change = v2.Compose([self._crop, v2.RandomHorizontalFlip()])
        else:
            change = self._plain
        return partial(self._run, change)

    def _run(self, change: Transform, pixels: Tensor) -> Tensor:
        if self._channels not in PICTURE_CHANNELS:
            return _to_pixels(change(pixels.permute(2, 0, 1)))
        return _to_pixels(change(Image.fromarray(np.ascontiguousarray(pixels.squeeze(-1)))))


def _to_pixels(image: Any) -> Tensor:
    """Returns `[H, W, C]` of a picture, an array `[H, W, C]` or a tensor `[C, H, W]`."""
    if isinstance(image, Tensor):
        return image.permute(1, 2, 0).contiguous()
    pixels = torch.from_numpy(np.array(image))
    return pixels if pixels.ndim == 3 else pixels[..., None]
