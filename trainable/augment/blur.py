"""The kernel of `augment.blur`, the same for batches and single images."""

from __future__ import annotations

from trainable.config.sections.augment import BlurAugment

MIN_SIGMA = 0.1
"""Smallest standard deviation of a blur, in pixels."""


def blur_kernel(blur: BlurAugment, side: int) -> tuple[int, tuple[float, float]]:
    """Returns the width of a blur's kernel, and the range of its standard deviation, in pixels.

    The width is odd, about four standard deviations, and at most the image's.

    Args:
        blur: The config's `augment.blur`.
        side: The shorter side of the images in pixels.
    """
    widest = side if side % 2 else side - 1
    width = max(1, min(2 * round(2 * blur.max_sigma) + 1, widest))
    return width, (min(MIN_SIGMA, blur.max_sigma), blur.max_sigma)
