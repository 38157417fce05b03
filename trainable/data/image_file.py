"""Reads one image file as 8-bit RGB, the same way for training, evaluation and every check.

- Orientation: turned as the EXIF data say.
- 16-bit grey: a value of 65535 is white, so values are divided by 257.
- 32-bit integers and floats have no known white, so they are refused.
- Transparency: composited on white.
- Animations and files of several pages: the first one.
- Everything else, such as palettes and CMYK: converted as Pillow does.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from trainable.errors import DataError

WHITE_16 = 65535
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")
"""Formats whose images of mode `I` have 16 bits; Pillow scales those of PPM to 0..65535."""
VERIFIED_FORMATS = ("PNG", "WEBP")
"""Formats of which Pillow finds a truncated file without decoding it."""
JPEG_END = b"\xff\xd9"
UNSCALED_MODES = ("I", "F")
"""Modes whose values have no known range."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it."""

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""Errors of Pillow for a file that it cannot read."""


class Treatment(StrEnum):
    """Treatment of an image besides resizing; the value follows "12 of 40 images: "."""

    TRANSPARENT = "transparent, composited on white"
    SIXTEEN_BIT = "16-bit grey, scaled to 8 bits (65535 is white)"
    ANIMATED = "animated or of several pages, of which the first is read"


@dataclass(frozen=True)
class Inspection:
    """The result of a look at an image file."""

    damage: str | None = None
    """Why the file cannot be used; None if nothing speaks against it."""
    treatments: tuple[Treatment, ...] = ()


def read_image(path: str) -> Image.Image:
    """Reads an image file as RGB.

    Raises:
        DataError: It is no image, is damaged, or its values have no known range.
    """
    try:
        with Image.open(path) as image:
            refusal = _refuse(image)
            if refusal is None:
                image.load()
                turn = _TURNS.get(_read_orientation(image))
                rgb = _convert(image)
                return rgb if turn is None else rgb.transpose(turn)
    except UNREADABLE as error:
        refusal = str(error)
    raise DataError(f"cannot read {path} as an image: {refusal}")


def inspect_image(path: str, *, decodes: bool = False) -> Inspection:
    """Looks at an image file without converting it.

    Reads the header and, as far as that is cheap, whether the file is whole: PNG and WebP have
    check sums, a JPEG an end mark. Files of other formats are decoded.

    Args:
        path: The file.
        decodes: Whether to decode every image.
    """
    try:
        with Image.open(path) as image:
            refusal = _refuse(image)
            if refusal is not None:
                return Inspection(refusal)
            treatments = _list_treatments(image)
            if not decodes and image.format in VERIFIED_FORMATS:
                image.verify()
            elif decodes or image.format != "JPEG" or not _ends_as_jpeg(path):
                image.load()
    except UnidentifiedImageError:
        return Inspection("it is no image, or its beginning is damaged")
    except UNREADABLE as error:
        return Inspection(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return Inspection(None, treatments)


def describe_treatments(inspections: Iterable[Inspection]) -> list[str]:
    """Returns a line for every treatment, with the number of images."""
    listed = list(inspections)
    counts = Counter(treatment for one in listed for treatment in one.treatments)
    return [
        f"{counts[kind]} of {len(listed)} images: {kind}" for kind in Treatment if counts[kind]
    ]


def _list_treatments(image: Image.Image) -> tuple[Treatment, ...]:
    is_animated = bool(getattr(image, "is_animated", False))
    kinds = (
        (image.has_transparency_data, Treatment.TRANSPARENT),
        (_is_sixteen_bit(image), Treatment.SIXTEEN_BIT),
        (is_animated, Treatment.ANIMATED),
    )
    if is_animated:
        image.seek(0)
    return tuple(kind for applies, kind in kinds if applies)


def _ends_as_jpeg(path: str) -> bool:
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(JPEG_END)))
        return file.read() == JPEG_END


def _refuse(image: Image.Image) -> str | None:
    """Returns why an image cannot be used, or None if it can."""
    if image.mode not in UNSCALED_MODES or _is_sixteen_bit(image):
        return None
    kind = "32-bit integers" if image.mode == "I" else "floats"
    return (
        f"mode {image.mode} ({kind}), whose black and white are not known; save it with 8 or 16 "
        "bits per channel"
    )


def _is_sixteen_bit(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS
    )


def _read_orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation; 1, which is upright, where there is none or it is damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (*UNREADABLE, LookupError, TypeError, struct.error):
        return 1


def _convert(image: Image.Image) -> Image.Image:
    if _is_sixteen_bit(image):
        values = np.asarray(image).astype(np.float64)
        key = image.info.get("transparency")
        if isinstance(key, int):
            values[values == key] = WHITE_16
        return Image.fromarray(np.rint(values * (255 / WHITE_16)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")
