"""Reads single items of a data set of the user's own: an image and its label.

An image is one of these.

- A Pillow picture. Mode `L` has one channel, all others become RGB, transparent ones on white.
- uint8: `[H, W]`, `[H, W, C]` or `[C, H, W]`, where the channels are the dimension of size 1, 3 or
  4. If both are possible, the channels are last in an array and first in a tensor.
- Floating point, `[C, H, W]` or `[H, W]`: it is finished, so it is used as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CHANNELS = (1, 3, 4)
"""Sizes of a dimension of uint8 images that can be their channels."""
IMAGE_KEYS = ("image", "img", "pixel_values")
LABEL_KEYS = ("label", "labels", "target", "cls")
"""Keys of items that are mappings; the first one that an item has counts."""

Label = int | str


class ItemError(ValueError):
    """An item cannot be used; the text continues a sentence about it."""


def split_item(item: Any) -> tuple[Any, Any]:
    """Returns an item's image and label.

    Raises:
        ItemError: The item is of another form.
    """
    if isinstance(item, Mapping):
        image = next((key for key in IMAGE_KEYS if key in item), None)
        label = next((key for key in LABEL_KEYS if key in item), None)
        if image is None or label is None:
            raise ItemError(
                "must have the keys image and label, found the keys " + ", ".join(map(str, item))
            )
        return item[image], item[label]
    if not isinstance(item, tuple | list):
        raise ItemError(f"must be a pair of image and label, found {describe(item)}")
    if len(item) != 2:
        raise ItemError(f"must be a pair of image and label, found {len(item)} values")
    return item[0], item[1]


def read_label(label: Any) -> Label:
    """Returns a label as a number or a text.

    Raises:
        ItemError: It is neither a whole number that is not negative, nor a text.
    """
    if isinstance(label, str):
        return str(label)
    if isinstance(label, Tensor | np.ndarray):
        if np.prod(label.shape) != 1:
            raise ItemError(
                f"must have a class number or name as its label, found {describe(label)}; of "
                "one-hot labels return the position: label.argmax()"
            )
        label = label.item()
        if isinstance(label, str):
            return label
    if not isinstance(label, int | np.integer):
        raise ItemError(
            "must have a whole number or a text as its label, found "
            + (f"{label!r}" if isinstance(label, float | np.floating) else describe(label))
        )
    if label < 0:
        raise ItemError(f"must have a label that is not negative, found {int(label)}")
    return int(label)


def read_image(image: Any) -> Tensor:
    """Returns an image as a tensor.

    Returns:
        `[H, W, C]` uint8, or `[C, H, W]` float32 if it is finished.

    Raises:
        ItemError: It is no image, has values that are not finite, or its dimensions are unclear.
    """
    if isinstance(image, Image.Image):
        return _read_picture(image)
    if not isinstance(image, Tensor | np.ndarray):
        raise ItemError(
            "must have a Pillow picture, an array or a tensor as its image, found "
            f"{describe(image)}"
        )
    is_tensor = isinstance(image, Tensor)
    pixels = image.detach().cpu() if isinstance(image, Tensor) else _to_tensor(image)
    if 0 in pixels.shape:
        raise ItemError(f"must have an image with pixels, found {describe(image)}")
    if pixels.dtype == torch.uint8:
        return _read_bytes(pixels, channels_first=is_tensor)
    if pixels.is_floating_point():
        return _read_floats(pixels)
    raise ItemError(_explain_type(image))


def describe(value: Any) -> str:
    """Returns the type of a value, with type and shape of a tensor or array."""
    if isinstance(value, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{kind} {list(value.shape)} of {dtype}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)} values"
    return type(value).__name__


def _explain_type(image: Any) -> str:
    return (
        f"must have an image of uint8 (0 to 255) or of floats, found {describe(image)}; scale it "
        "to 0..255 and convert it: image.astype(numpy.uint8)"
    )


def _to_tensor(array: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
        raise ItemError(_explain_type(array))
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:
        native = native.astype(np.int64)  # torch has few operations for it; it is refused next
    # A copy: the array may be read-only, or change with the next item.
    return torch.from_numpy(np.array(native, order="C"))


def _read_picture(picture: Image.Image) -> Tensor:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        raise ItemError(
            f"must have a picture of 8 bits per channel, found mode {picture.mode}; scale its "
            "values to 0..255, or return floats"
        )
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, coloured).convert("RGB")
    elif picture.mode in ("1", "L"):
        picture = picture.convert("L")
    else:
        picture = picture.convert("RGB")
    pixels = torch.from_numpy(np.array(picture))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _read_bytes(pixels: Tensor, *, channels_first: bool) -> Tensor:
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim != 3:
        raise ItemError(f"must have an image of 2 or 3 dimensions, found {describe(pixels)}")
    first, last = pixels.shape[0] in CHANNELS, pixels.shape[-1] in CHANNELS
    if not first and not last:
        raise ItemError(
            "must have an image [H, W, C] or [C, H, W] with 1, 3 or 4 channels, found "
            f"{list(pixels.shape)}; images with other channels must be floats [C, H, W]"
        )
    if first and (channels_first or not last):
        return pixels.permute(1, 2, 0).contiguous()
    return pixels


def _read_floats(pixels: Tensor) -> Tensor:
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3:
        raise ItemError(f"must have an image of 2 or 3 dimensions, found {describe(pixels)}")
    if pixels.shape[0] not in CHANNELS and pixels.shape[-1] in CHANNELS:
        raise ItemError(
            f"must have the channels first in an image of floats, found {list(pixels.shape)}: "
            "image.permute(2, 0, 1), in numpy image.transpose(2, 0, 1)"
        )
    if not pixels.isfinite().all():
        raise ItemError("must have finite values, found NaN or infinity")
    return pixels.to(torch.float32)
