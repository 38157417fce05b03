"""The operations of the AutoAugment family and their strength, on torchvision's functionals.

torchvision's own classes draw once a call, so a batch would get one draw for all of its images.
The table of strengths is theirs, as a function of a fraction of the full strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2 import functional

SIGNED = {
    *("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"),
    *("Brightness", "Color", "Contrast", "Sharpness"),
}
"""Operations that go both ways; the sign is drawn."""

SHARE_OF_SIDE = 150 / 331
"""Largest translation relative to the image's side."""
WIDE_PIXELS = 32
"""Largest translation of TrivialAugment."""

OPERATIONS = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness"),
    *("Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""Operations of RandAugment and TrivialAugment; AutoAugment also has `Invert`."""


def strength_of(name: str, fraction: float, side: int) -> float:
    """Returns how strong an operation of RandAugment and AutoAugment is, in its own unit.

    Args:
        name: The operation.
        fraction: Share of the full strength, in [0, 1].
        side: Width of the image for `TranslateX`, height for `TranslateY`.

    Returns:
        Tangent of the shear, pixels, degrees, change of a factor, bits that are left, or the
        threshold as a share of white; 0 for an operation without a strength.
    """
    match name:
        case "ShearX" | "ShearY":
            return 0.3 * fraction
        case "TranslateX" | "TranslateY":
            return SHARE_OF_SIDE * side * fraction
        case "Rotate":
            return 30 * fraction
        case "Brightness" | "Color" | "Contrast" | "Sharpness":
            return 0.9 * fraction
        case "Posterize":
            return 8 - round(4 * fraction)
        case "Solarize":
            return 1 - fraction
    return 0.0


def wide_strength_of(name: str, fraction: float, side: int) -> float:
    """Returns how strong an operation of TrivialAugment (Wide) is; see `strength_of`."""
    match name:
        case "ShearX" | "ShearY" | "Brightness" | "Color" | "Contrast" | "Sharpness":
            return 0.99 * fraction
        case "TranslateX" | "TranslateY":
            return (WIDE_PIXELS if side >= WIDE_PIXELS else SHARE_OF_SIDE * side) * fraction
        case "Rotate":
            return 135 * fraction
        case "Posterize":
            return 8 - round(6 * fraction)
    return strength_of(name, fraction, side)


def _shear(images: Tensor, x: float, y: float) -> Tensor:
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    sheared: Tensor = functional.affine(
        images, angle=0.0, translate=[0, 0], scale=1.0, shear=degrees, center=[0, 0]
    )
    return sheared


def _translate(images: Tensor, x: float, y: float) -> Tensor:
    moved: Tensor = functional.affine(
        images, angle=0.0, translate=[int(x), int(y)], scale=1.0, shear=[0.0, 0.0]
    )
    return moved


def _solarize(images: Tensor, threshold: float) -> Tensor:
    # torchvision inverts white at the full threshold; here a strength of 0 changes nothing.
    return images if threshold >= 1 else functional.solarize(images, 255 * threshold)


_APPLY: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Identity": lambda images, _: images,
    "ShearX": lambda images, value: _shear(images, value, 0.0),
    "ShearY": lambda images, value: _shear(images, 0.0, value),
    "TranslateX": lambda images, value: _translate(images, value, 0),
    "TranslateY": lambda images, value: _translate(images, 0, value),
    "Rotate": lambda images, value: functional.rotate(images, value),
    "Brightness": lambda images, value: functional.adjust_brightness(images, 1 + value),
    "Color": lambda images, value: functional.adjust_saturation(images, 1 + value),
    "Contrast": lambda images, value: functional.adjust_contrast(images, 1 + value),
    "Sharpness": lambda images, value: functional.adjust_sharpness(images, 1 + value),
    "Posterize": lambda images, value: functional.posterize(images, int(value)),
    "Solarize": _solarize,
    "AutoContrast": lambda images, _: functional.autocontrast(images),
    "Equalize": lambda images, _: functional.equalize(images),
    "Invert": lambda images, _: functional.invert(images),
}


def apply_operation(images: Tensor, name: str, value: float) -> Tensor:
    """Applies one operation to images.

    Args:
        images: `[..., C, H, W]` uint8 with 1 or 3 channels.
        name: The operation.
        value: Its strength, with a sign for those in `SIGNED`.
    """
    return _APPLY[name](images, value)
