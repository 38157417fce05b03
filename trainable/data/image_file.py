"""Reads one image file as 8-bit RGB, the same way for training, evaluation and every check.

- Orientation: turned as the EXIF data say, in files of every format.
- 16-bit grey: a value of 65535 is white, so values are divided by 257; `dataset.max_value` states
  another white, e.g. that of a camera with 12 bits.
- 32-bit integers and floats have no known white, so they are refused without `max_value`.
- Transparency: composited on `dataset.background`, white by default, before anything is resized,
  because the colours below an alpha of 0 are arbitrary.
- Animations and files of several pages: the first one.
- Size: more than `dataset.max_pixels` are refused before anything is decoded.
- Everything else, such as palettes and CMYK: converted as Pillow does, without colour profiles.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from trainable.config.sections.dataset import FileDataset
from trainable.errors import DataError

WHITE_16 = 65535
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")
"""Formats whose images of mode `I` have 16 bits; Pillow scales those of PPM to 0..65535."""
VERIFIED_FORMATS = ("PNG", "WEBP")
"""Formats of which Pillow finds a truncated file without decoding it."""
JPEG_END = b"\xff\xd9"
DARK = 4
"""Factor below white from which on deep images are so dark that it is said."""
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
_QUARTER_TURNS = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))

REDUCIBLE_FORMATS = ("JPEG", "MPO")
"""Formats that Pillow can decode at a fraction of their size."""

UNREADABLE = (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError)
"""Errors of Pillow for a file that it cannot read; of AVIF, `RuntimeError`."""


MAX_PIXELS = 178_956_970
"""Pixels beyond which Pillow itself refuses an image."""


@dataclass(frozen=True)
class ReadRules:
    """Rules for reading image files: the keys of `dataset` that change pixels."""

    background: tuple[int, int, int] = (255, 255, 255)
    """Red, green and blue behind transparent images."""
    max_value: float | None = None
    """White in grey images of more than 8 bits; None stands for 65535 and refuses 32 bits."""
    max_pixels: int | None = None
    """Pixels of an image beyond which it is refused; None stands for `MAX_PIXELS`."""


DEFAULT = ReadRules()
UNKNOWN = math.inf
"""White where it is still to be measured; whatever is read so is black."""


def read_rules(dataset: FileDataset, measured: float | None = None) -> ReadRules:
    """Returns the rules of a data set.

    Args:
        dataset: The config's `dataset` section.
        measured: White where `max_value` is `auto`; see `SplitRecord.max_value`.

    Raises:
        ValueError: `max_value` is `auto`, and nothing has been measured.
    """
    max_value = measured if dataset.max_value == "auto" else dataset.max_value
    if dataset.max_value == "auto" and measured is None:
        raise ValueError("dataset.max_value: auto must be measured before images are read")
    red, green, blue = dataset.background
    return ReadRules((red, green, blue), max_value, dataset.max_pixels)


class Treatment(StrEnum):
    """Treatment of an image besides resizing; the value follows "12 of 40 images: "."""

    TRANSPARENT = "transparent, composited on {background}"
    DEEP = "grey of more than 8 bits, scaled to 8 bits ({white} is white)"
    CMYK = "CMYK, converted to RGB without a colour profile"
    ANIMATED = "animated or of several pages, of which the first is read"


@dataclass(frozen=True)
class Inspection:
    """The result of a look at an image file."""

    damage: str | None = None
    """Why the file cannot be used; None if nothing speaks against it."""
    treatments: tuple[Treatment, ...] = ()
    size: tuple[int, int] | None = None
    """Width and height in pixels as they are stored, before a turn; None if it cannot be read."""
    mode: str | None = None
    """Pillow's mode; None if it cannot be read."""
    max_value: float | None = None
    """Largest value of a grey image of more than 8 bits that has been decoded."""
    observed: Any = None
    """Result of `observe` for the decoded image."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file."""

    rgb: Image.Image
    """8-bit RGB, upright; smaller than the file's image if it was reduced."""
    size: tuple[int, int]
    """Height and width of the file's image when it is upright."""
    treatments: tuple[Treatment, ...]


def read_image(path: str, rules: ReadRules = DEFAULT) -> Image.Image:
    """Reads an image file as RGB.

    Args:
        path: The file.
        rules: What is done to transparent, deep and very large images.

    Raises:
        DataError: It is no image, is damaged, too large, or its values have no known range.
    """
    try:
        return decode_image(path, rules).rgb
    except DataError as error:
        raise DataError(f"cannot read {path} as an image: {error}") from error


def decode_image(
    file: str | BinaryIO, rules: ReadRules = DEFAULT, *, reduce_to: int | None = None
) -> DecodedImage:
    """Decodes an image file as RGB.

    Args:
        file: Path or open file.
        rules: What is done to transparent, deep and very large images.
        reduce_to: JPEG images may be decoded at 1/2, 1/4 or 1/8 of their size as long as height
            and width stay at least this; None never reduces them.

    Raises:
        DataError: It cannot be used; the text says why, without the file's name.
    """
    try:
        with _open(file, rules) as image:
            refusal = _refuse(image, rules)
            if refusal is None:
                turn = _find_turn(image)
                size, treatments = _upright_size(image, turn), _list_treatments(image)
                if reduce_to is not None and image.format in REDUCIBLE_FORMATS:
                    image.draft(None, (reduce_to, reduce_to))
                image.load()
                rgb = _convert(image, rules)
                return DecodedImage(rgb if turn is None else rgb.transpose(turn), size, treatments)
    except UNREADABLE as error:
        refusal = _describe(error)
    raise DataError(refusal)


def measure_image(file: str | BinaryIO, rules: ReadRules = DEFAULT) -> tuple[int, int]:
    """Returns the height and width of the upright image of a file, from its header.

    Raises:
        DataError: It cannot be used; the text says why, without the file's name.
    """
    try:
        with _open(file, rules) as image:
            return _upright_size(image, _find_turn(image))
    except UNREADABLE as error:
        raise DataError(_describe(error)) from error


def _upright_size(image: Image.Image, turn: Image.Transpose | None) -> tuple[int, int]:
    return image.size if turn in _QUARTER_TURNS else (image.height, image.width)


def inspect_image(
    path: str,
    rules: ReadRules = DEFAULT,
    *,
    decodes: bool = False,
    observe: Callable[[Image.Image], object] | None = None,
) -> Inspection:
    """Looks at an image file.

    Reads the header and, as far as that is cheap, whether the file is whole: PNG and WebP have
    check sums, a JPEG an end mark. Files of other formats are decoded.

    Args:
        path: The file.
        rules: The rules that it will be read by.
        decodes: Whether to decode every image and convert it as `read_image` does.
        observe: Computes something of the upright RGB image, if it is decoded so.
    """
    size, mode, max_value, observed = None, None, None, None
    try:
        with _open(path, rules) as image:
            size, mode = image.size, image.mode
            refusal = _refuse(image, rules)
            if refusal is not None:
                return Inspection(refusal, (), size, mode)
            treatments = _list_treatments(image)
            if not decodes and image.format in VERIFIED_FORMATS:
                image.verify()
            elif decodes or image.format != "JPEG" or not _ends_as_jpeg(path):
                image.load()
                max_value = _find_max(image)
            if decodes:
                rgb = _convert(image, rules)
                if observe is not None:
                    turn = _find_turn(image)
                    observed = observe(rgb if turn is None else rgb.transpose(turn))
    except UnidentifiedImageError:
        return Inspection("it is no image, or its beginning is damaged")
    except UNREADABLE as error:
        return Inspection(_describe(error), (), size, mode)
    return Inspection(None, treatments, size, mode, max_value, observed)


def describe_treatments(
    inspections: Iterable[Inspection], rules: ReadRules = DEFAULT
) -> list[str]:
    """Returns a line for every treatment, with the number of images, and one on dark images."""
    listed = list(inspections)
    counts = Counter(treatment for one in listed for treatment in one.treatments)
    white = WHITE_16 if rules.max_value is None else rules.max_value
    is_white = rules.background == DEFAULT.background
    background = "white" if is_white else f"RGB {', '.join(map(str, rules.background))}"
    lines = [
        f"{counts[kind]} of {len(listed)} images: "
        + kind.value.format(background=background, white=_show(white))
        for kind in Treatment
        if counts[kind]
    ]
    values = [one.max_value for one in listed if one.max_value is not None]
    if values and white != UNKNOWN and 0 < max(values) <= white / DARK:
        lines.append(
            f"the largest value of these grey images is {_show(max(values))}, so that they are "
            f"dark; dataset.max_value: {_show(max(values))}, or auto, makes it white"
        )
    return lines


def _show(value: float) -> str:
    if value == UNKNOWN:
        return "the largest value of all"
    return f"{value:g}" if value % 1 else f"{value:.0f}"


def _open(file: str | BinaryIO, rules: ReadRules) -> Image.Image:
    """Opens a file; Pillow's limit of pixels is raised where the rules have a larger one."""
    if rules.max_pixels is not None and rules.max_pixels > MAX_PIXELS:
        # It holds for the process. Smaller limits of other data sets are those of `_refuse`.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, rules.max_pixels)
    return Image.open(file)


def _describe(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}; if the file is right, raise dataset.max_pixels"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _list_treatments(image: Image.Image) -> tuple[Treatment, ...]:
    is_animated = bool(getattr(image, "is_animated", False))
    kinds = (
        (image.has_transparency_data, Treatment.TRANSPARENT),
        (_is_deep(image), Treatment.DEEP),
        (image.mode == "CMYK", Treatment.CMYK),
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


def _refuse(image: Image.Image, rules: ReadRules) -> str | None:
    """Returns why an image cannot be used, or None if it can."""
    pixels, limit = image.width * image.height, rules.max_pixels or MAX_PIXELS
    if pixels > limit:
        return (
            f"{pixels:,} pixels, more than the limit of {limit:,}; if the file is right, raise "
            "dataset.max_pixels"
        )
    if image.mode not in UNSCALED_MODES or _is_sixteen_bit(image) or rules.max_value is not None:
        return None
    kind = "32-bit integers" if image.mode == "I" else "floats"
    return (
        f"mode {image.mode} ({kind}), whose black and white are not known; save it with 8 or 16 "
        "bits per channel, or set dataset.max_value to the value that is white"
    )


def _is_sixteen_bit(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS
    )


def _is_deep(image: Image.Image) -> bool:
    """Returns whether an image is grey with more than 8 bits."""
    return image.mode in UNSCALED_MODES or image.mode.startswith("I;16")


def _find_max(image: Image.Image) -> float | None:
    """Returns the largest value of a decoded image with more than 8 bits that has no white yet.

    Raises:
        ValueError: It has values that are not finite.
    """
    if not _is_deep(image) or _is_scaled(image):
        return None
    return float(_read_deep(image).max(initial=0))


def _read_deep(image: Image.Image) -> NDArray[np.float64]:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite numbers")
    return values


def _is_scaled(image: Image.Image) -> bool:
    """Returns whether Pillow has scaled the values by the white that the file states."""
    return image.mode == "I" and image.format == "PPM"


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """Returns what makes an image upright; None if it is, or if its EXIF data are damaged."""
    if image.format == "TIFF":  # Pillow turns these as it loads them
        return None
    try:
        return _TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    except (*UNREADABLE, LookupError, TypeError, struct.error):
        return None


def _convert(image: Image.Image, rules: ReadRules) -> Image.Image:
    if _is_deep(image):
        return _convert_deep(image, rules)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (*rules.background, 255))
        return Image.alpha_composite(background, coloured).convert("RGB")
    return image.convert("RGB")


def _convert_deep(image: Image.Image, rules: ReadRules) -> Image.Image:
    """Converts a grey image with more than 8 bits; values beyond white are white."""
    values = _read_deep(image)
    white = WHITE_16 if rules.max_value is None or _is_scaled(image) else rules.max_value
    grey = np.rint((values * (255 / white)).clip(0, 255)).astype(np.uint8)
    rgb = Image.fromarray(grey).convert("RGB")
    key = image.info.get("transparency")
    if isinstance(key, int):
        rgb.paste(rules.background, mask=Image.fromarray(values == key))
    return rgb
