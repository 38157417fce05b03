"""Changes whole batches on the device, with draws of its own for every image.

Geometry, grayscale and blur are Kornia's. Two of its parts are not used: its policies draw their
operations once a batch, and its `ColorJiggle` adds to the brightness, where torchvision's jitter,
which changes the images of folders, multiplies. Not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import kornia.augmentation as kornia
import numpy as np
import torch
from kornia import enhance
from torch import Tensor, nn

from trainable.augment.blur import blur_kernel
from trainable.augment.policies import apply_policy, build_policy
from trainable.augment.streams import Stream, rng_of, torch_seeded_by
from trainable.config import AugmentConfig
from trainable.config.sections.augment import ColorJitterAugment


class DeviceAugmentation:
    """Changes the images of a batch.

    Args:
        augment: The config's `augment` section.
        shape: Channels, height and width of the images.
    """

    def __init__(self, augment: AugmentConfig, shape: tuple[int, int, int]) -> None:
        _, height, width = shape
        self._geometry = list(_build_geometry(augment, height, width))
        self._policy = build_policy(augment, height, width)
        self._jitter = augment.color_jitter
        self._colour = list(_build_colour(augment, min(height, width)))

    def __call__(self, pixels: Tensor, seed: int, number: int) -> Tensor:
        """Changes a batch.

        Args:
            pixels: `[B, H, W, C]` uint8.
            seed: Seed of the pass.
            number: Number of the batch in the pass; the draws depend on these two alone.

        Returns:
            `[B, H, W, C]`, uint8 or float32 with values from 0 to 255.
        """
        images = pixels.permute(0, 3, 1, 2)
        if self._geometry:
            images = _run(
                self._geometry, _to_floats(images), rng_of(seed, Stream.GEOMETRY, number)
            )
        if self._policy is not None:
            images = _to_bytes(images).clone(memory_format=torch.contiguous_format)
            images = apply_policy(images, self._policy, rng_of(seed, Stream.POLICY, number))
        if self._colour or self._jitter is not None:
            rng = rng_of(seed, Stream.COLOUR, number)
            images = _to_floats(images)
            if self._jitter is not None:
                images = _jitter_colours(images, self._jitter, rng)
            images = _run(self._colour, images, rng)
        if images.is_floating_point():
            images = images * 255
        return images.permute(0, 2, 3, 1).contiguous()


def _build_geometry(augment: AugmentConfig, height: int, width: int) -> Iterator[nn.Module]:
    if augment.crop is not None:
        ratio = augment.crop.max_ratio
        yield kornia.RandomResizedCrop(
            (height, width),
            scale=(augment.crop.min_scale, 1.0),
            ratio=(1 / ratio, ratio),
            cropping_mode="resample",
            align_corners=False,
        )
    if augment.horizontal_flip:
        yield kornia.RandomHorizontalFlip(p=augment.horizontal_flip)
    if augment.vertical_flip:
        yield kornia.RandomVerticalFlip(p=augment.vertical_flip)
    if augment.rotation:
        yield kornia.RandomRotation(augment.rotation, p=1.0)


def _build_colour(augment: AugmentConfig, side: int) -> Iterator[nn.Module]:
    if augment.grayscale:
        yield kornia.RandomGrayscale(p=augment.grayscale)
    if augment.blur is not None and augment.blur.probability:
        width, sigmas = blur_kernel(augment.blur, side)
        yield kornia.RandomGaussianBlur((width, width), sigmas, p=augment.blur.probability)


def _run(steps: list[nn.Module], images: Tensor, rng: np.random.Generator) -> Tensor:
    with torch_seeded_by(rng):
        for step in steps:
            images = step(images)
    return images


def _to_floats(images: Tensor) -> Tensor:
    """Returns `[B, C, H, W]` float32 in [0, 1]."""
    if images.is_floating_point():
        return images
    return images.to(torch.float32, memory_format=torch.contiguous_format) / 255


def _to_bytes(images: Tensor) -> Tensor:
    if not images.is_floating_point():
        return images
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def _jitter_colours(
    images: Tensor, jitter: ColorJitterAugment, rng: np.random.Generator
) -> Tensor:
    """Changes brightness, contrast, saturation and hue of `[B, C, H, W]` floats in [0, 1]."""
    count, changed = len(images), images
    is_changed = rng.random(count) < jitter.probability
    steps: list[tuple[float, Callable[[Tensor, Tensor], Tensor]]] = [
        (jitter.brightness, enhance.adjust_brightness_accumulative),
        (jitter.contrast, enhance.adjust_contrast_with_mean_subtraction),
        (jitter.saturation, enhance.adjust_saturation_with_gray_subtraction),
    ]
    for spread, adjust in steps:
        factors = rng.uniform(1 - spread, 1 + spread, count)
        if spread:
            changed = adjust(changed, _to_device(factors, images))
    turns = rng.uniform(-jitter.hue, jitter.hue, count)
    if jitter.hue:
        changed = enhance.adjust_hue(changed, _to_device(2 * np.pi * turns, images))
    mask = torch.from_numpy(is_changed).to(images.device, non_blocking=True)
    return torch.where(mask[:, None, None, None], changed, images)


def _to_device(values: np.ndarray[tuple[int], np.dtype[np.float64]], images: Tensor) -> Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype, non_blocking=True)
