"""Which part of an image a crop takes, as torchvision's transforms decide it.

Boxes are computed in the pixels of the original and then scaled to the image that is stored, which
may be squashed to a square: their geometry is that of torchvision whatever is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Sizes = NDArray[np.int64]
"""`[N, 2]`: height and width of every image."""
Boxes = NDArray[np.int64]
"""`[N, 4]`: top, left, height and width of a part of every image."""

TRIES = 10
"""Draws of a box before the middle is taken, as in torchvision."""
BLOCK = 65536
"""Images whose boxes are drawn at once, which limits the memory."""
CROP = 6
"""Word that begins the random stream of the crops; it must not change."""


@dataclass(frozen=True)
class CropRange:
    """Range of the random crops."""

    min_scale: float = 0.08
    """Smallest share of the image's area; the largest is 1."""
    max_ratio: float = 4 / 3
    """Widest ratio of width to height; the narrowest is its inverse."""


class Crops(NamedTuple):
    """The random draws of some images."""

    boxes: Boxes
    mirrored: NDArray[np.bool_]
    """`[N]`: whether the image is flipped left to right."""


def draw_crops(
    sizes: Sizes, *, seed: int, crop: CropRange | None, flips: float, repeats: int = 1
) -> Crops:
    """Draws the crops and flips of a pass.

    The draws of an image are a function of the seed and of the image's number alone.

    Args:
        sizes: Original size of every image of the data set, by number.
        seed: Seed of the pass.
        crop: Range of the crops; None takes the whole image.
        flips: Probability of a flip.
        repeats: Draws of every image.

    Returns:
        `repeats * N` crops: the first draw of every image, then the second one, etc.
    """
    count = repeats * len(sizes)
    rng = np.random.default_rng([seed, CROP])
    boxes, mirrored = np.empty((count, 4), dtype=np.int64), np.empty(count, dtype=np.bool_)
    for start in range(0, count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, count))
        draws = rng.random((len(numbers), 2 * TRIES + 3))
        of_block = sizes[numbers % len(sizes)]
        mirrored[numbers] = draws[:, -1] < flips
        if crop is None:
            boxes[numbers] = whole_boxes(of_block)
        else:
            boxes[numbers] = draw_boxes(of_block, crop, draws[:, :-1])
    return Crops(boxes, mirrored)


def draw_boxes(sizes: Sizes, crop: CropRange, draws: NDArray[np.float64]) -> Boxes:
    """Draws boxes as torchvision's `RandomResizedCrop` does.

    Of `TRIES` boxes, each with a uniform area and a log-uniform ratio, the first one that lies
    within the image is taken, at a uniform place. If none does, the largest box in the middle is.

    Args:
        sizes: Size of every image.
        crop: Range of area and ratio.
        draws: `[N, 2 * TRIES + 2]`, uniform in [0, 1).
    """
    height, width = sizes[:, :1], sizes[:, 1:]
    areas = height * width * (crop.min_scale + (1 - crop.min_scale) * draws[:, :TRIES])
    spread = math.log(crop.max_ratio)
    ratios = np.exp(spread * (2 * draws[:, TRIES : 2 * TRIES] - 1))
    widths = np.rint(np.sqrt(areas * ratios)).astype(np.int64)
    heights = np.rint(np.sqrt(areas / ratios)).astype(np.int64)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    rows, first = np.arange(len(sizes)), fits.argmax(1)
    box_height, box_width = heights[rows, first], widths[rows, first]
    free_y, free_x = sizes[:, 0] - box_height, sizes[:, 1] - box_width
    top = np.floor(draws[:, -2] * (free_y + 1)).astype(np.int64)
    left = np.floor(draws[:, -1] * (free_x + 1)).astype(np.int64)
    boxes = np.stack([top, left, box_height, box_width], axis=1)
    has_box = np.take_along_axis(fits, first[:, None], axis=1)
    return np.where(has_box, boxes, middle_boxes(sizes, crop))


def middle_boxes(sizes: Sizes, crop: CropRange) -> Boxes:
    """Returns the largest box in the middle of every image whose ratio is within the range."""
    height, width = sizes[:, 0], sizes[:, 1]
    ratio = width / height
    lowest, highest = 1 / crop.max_ratio, crop.max_ratio
    box_height = np.where(ratio < lowest, np.rint(width / lowest), height).astype(np.int64)
    box_width = np.where(ratio > highest, np.rint(height * highest), width).astype(np.int64)
    top, left = (height - box_height) // 2, (width - box_width) // 2
    return np.stack([top, left, box_height, box_width], axis=1)


def whole_boxes(sizes: Sizes) -> Boxes:
    """Returns the box of every whole image."""
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1)


def scale_boxes(boxes: Boxes, sizes: Sizes, stored: Sizes) -> Boxes:
    """Scales boxes from the originals to images that are stored with other sizes.

    Args:
        boxes: In pixels of the originals.
        sizes: Size of every original.
        stored: Size of every stored image.

    Returns:
        Boxes of at least one pixel, with edges at the nearest whole pixels.
    """
    factors: NDArray[np.float64] = stored / sizes
    start = np.rint(boxes[:, :2] * factors).astype(np.int64)
    end = np.rint((boxes[:, :2] + boxes[:, 2:]) * factors).astype(np.int64)
    start = np.minimum(start, stored - 1)
    return np.concatenate([start, np.maximum(end - start, 1)], axis=1)
