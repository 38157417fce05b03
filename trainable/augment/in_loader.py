"""Changes single images in a loader process, with torchvision's transforms.

They draw from torch's global generator, which the data set seeds for every image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from trainable.augment.blur import blur_kernel
from trainable.augment.policies import apply_policy, build_policy
from trainable.config import AugmentConfig

Transform = Callable[[Any], Any]
"""Maps an image to an image."""


class LoaderAugmentation:
    """Changes one image.

    Args:
        augment: The config's `augment` section.
        crop: Makes an image of the final size; draws from torch's global generator.
        size: Height and width that `crop` makes.
        flips: Probability of a mirrored image where `augment` has none of its own.
    """

    def __init__(
        self, augment: AugmentConfig, crop: Transform, size: int, *, flips: float
    ) -> None:
        self._crop = crop
        self._geometry = list(_build_geometry(augment, flips))
        self._policy = build_policy(augment, size, size)
        self._colour = list(_build_colour(augment, size))

    def __call__(self, image: Image.Image | Tensor) -> NDArray[np.uint8]:
        """Changes an image of any size.

        Args:
            image: A picture, or uint8 `[C, H, W]`.

        Returns:
            `[H, W, C]`.
        """
        with _one_thread():
            cropped = self._crop(image)
            if isinstance(cropped, Image.Image):
                cropped = functional.pil_to_tensor(cropped)
            return self._change(cropped)

    def _change(self, pixels: Tensor) -> NDArray[np.uint8]:
        for step in self._geometry:
            pixels = step(pixels)
        if self._policy is not None:
            rng = np.random.default_rng(int(torch.randint(2**62, ())))
            pixels = apply_policy(pixels[None].clone(), self._policy, rng)[0]
        for step in self._colour:
            pixels = step(pixels)
        return pixels.permute(1, 2, 0).contiguous().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits torch to one thread, as in a loader process.

    The last bits of a sum depend on the number of threads.
    """
    before = torch.get_num_threads()
    if before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def _build_geometry(augment: AugmentConfig, flips: float) -> Iterator[Transform]:
    horizontal = augment.horizontal_flip if augment.horizontal_flip is not None else flips
    if horizontal:
        yield v2.RandomHorizontalFlip(horizontal)
    if augment.vertical_flip:
        yield v2.RandomVerticalFlip(augment.vertical_flip)
    if augment.rotation:
        yield v2.RandomRotation(augment.rotation, v2.InterpolationMode.BILINEAR)


def _build_colour(augment: AugmentConfig, side: int) -> Iterator[Transform]:
    jitter, blur = augment.color_jitter, augment.blur
    if jitter is not None:
        strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        yield v2.RandomApply([v2.ColorJitter(*strengths)], jitter.probability)
    if augment.grayscale:
        yield v2.RandomGrayscale(augment.grayscale)
    if blur is not None:
        yield v2.RandomApply([v2.GaussianBlur(*blur_kernel(blur, side))], blur.probability)
