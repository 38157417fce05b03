"""Items of an own data set: what counts as an image and as a label."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainable.data.own.items import ItemError, read_image, read_label, split_item

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5)
COLOURS = np.arange(90, dtype=np.uint8).reshape(6, 5, 3)
RGBA = np.dstack([COLOURS, np.full((6, 5), 0, dtype=np.uint8)])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, GREY[..., None]),
        (COLOURS, COLOURS),
        (COLOURS.transpose(2, 0, 1), COLOURS),
        (torch.from_numpy(COLOURS), COLOURS),
        (torch.from_numpy(COLOURS).permute(2, 0, 1), COLOURS),
        (np.ones((3, 5, 3), dtype=np.uint8), np.ones((3, 5, 3))),
        (torch.ones((3, 5, 3), dtype=torch.uint8), np.ones((5, 3, 3))),
        (Image.fromarray(COLOURS), COLOURS),
        (Image.fromarray(GREY), GREY[..., None]),
        (Image.fromarray(RGBA, "RGBA"), np.full((6, 5, 3), 255)),
        (Image.fromarray(GREY > 3), 255 * (GREY > 3)[..., None]),
    ],
)  # fmt: skip
def test_an_image_of_8_bits_becomes_bytes_with_the_channels_last(
    image: Any, expected: np.ndarray
) -> None:
    pixels = read_image(image)
    assert pixels.dtype == torch.uint8
    assert pixels.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_stay_as_they_are(dtype: Any) -> None:
    image = COLOURS.transpose(2, 0, 1).astype(dtype) / 4 - 3
    pixels = read_image(image)
    assert pixels.dtype == torch.float32
    assert pixels.tolist() == image.astype(float).tolist()
    assert read_image(torch.ones(4, 5)).shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("cat.png", "a Pillow picture, an array or a tensor as its image, found str"),
        (COLOURS.astype(np.int64), "found an array [6, 5, 3] of int64; scale it to 0..255"),
        (COLOURS.astype(np.uint16), "of uint8 (0 to 255) or of floats"),
        (COLOURS > 3, "found an array [6, 5, 3] of bool"),
        (np.array([["a"]]), "of uint8"),
        (
            COLOURS / 255,
            "the channels first in an image of floats, found [6, 5, 3]: image.permute",
        ),
        (np.full((3, 4, 5), np.inf), "finite values, found NaN or infinity"),
        (np.zeros((7, 5, 2), np.uint8), "with 1, 3 or 4 channels, found [7, 5, 2]"),
        (np.zeros((2, 4, 5, 3), np.uint8), "2 or 3 dimensions"),
        (np.zeros((0, 5, 3), np.uint8), "an image with pixels"),
        (Image.fromarray(GREY.astype(np.float32)), "8 bits per channel, found mode F"),
    ],
)
def test_what_is_no_image_is_refused_in_words(image: Any, message: str) -> None:
    with pytest.raises(ItemError) as caught:
        read_image(image)
    assert message in str(caught.value)


@pytest.mark.parametrize("label", [3, np.int32(3), np.uint8(3), torch.tensor(3), np.array([3])])
def test_a_label_is_a_whole_number(label: Any) -> None:
    assert read_label(label) == 3
    assert type(read_label(label)) is int


def test_a_label_is_a_text() -> None:
    assert read_label("03") == read_label(np.str_("03")) == read_label(np.array("03")) == "03"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (-1, "not negative, found -1"),
        (1.0, "a whole number or a text as its label, found 1.0"),
        (np.eye(3)[1], "found an array [3] of float64; of one-hot labels return the position"),
        (None, "found NoneType"),
    ],
)
def test_other_labels_are_refused_in_words(label: Any, message: str) -> None:
    with pytest.raises(ItemError, match="label") as caught:
        read_label(label)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [(1, 2), [1, 2], {"image": 1, "label": 2, "id": 3}, {"img": 1, "cls": 2},
     {"pixel_values": 1, "labels": 2}],
)  # fmt: skip
def test_an_item_is_a_pair_or_a_mapping(item: Any) -> None:
    assert split_item(item) == (1, 2)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((1, 2, 3), "a pair of image and label, found 3 values"),
        (5, "a pair of image and label, found int"),
        ({"image": 1, "id": 2}, "the keys image and label, found the keys image, id"),
    ],
)
def test_other_items_are_refused_in_words(item: Any, message: str) -> None:
    with pytest.raises(ItemError) as caught:
        split_item(item)
    assert message in str(caught.value)
