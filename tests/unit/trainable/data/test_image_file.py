"""Every file becomes the picture that a person sees, whatever its mode."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainable.data.image_file import (
    Inspection,
    Treatment,
    describe_treatments,
    inspect_image,
    read_image,
)
from trainable.errors import DataError

SHAPE = (4, 6)
GREY = (np.arange(24, dtype=np.uint8) * 11).reshape(SHAPE)
WIDE = np.repeat(GREY[:, :, None], 3, axis=2)


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_image(str(path))
    assert image.mode == "RGB"
    return np.asarray(image)


def sixteen_bit(order: str = "<") -> Image.Image:
    values = (GREY.astype(np.uint16) * 257).astype(f"{order}u2")
    if order == "<":
        return Image.fromarray(values)
    return Image.frombytes("I;16B", SHAPE[::-1], values.tobytes())


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_become_eight(tmp_path, name):
    """A 16-bit copy of an 8-bit image is the same image."""
    if name == "x.pgm":
        data = (GREY.astype(">u2") * 257).tobytes()
        (tmp_path / name).write_bytes(b"P5 6 4 65535\n" + data)
    else:
        sixteen_bit().save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name), WIDE)
    assert inspect_image(str(tmp_path / name)) == Inspection(None, (Treatment.SIXTEEN_BIT,))


def test_sixteen_bits_in_the_other_byte_order_become_eight(tmp_path):
    sixteen_bit(">").save(tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as image:
        assert image.mode == "I;16B"
    assert np.array_equal(read(tmp_path / "x.tif"), WIDE)


@pytest.mark.parametrize(("mode", "kind"), [("I", "32-bit integers"), ("F", "floats")])
def test_values_without_a_range_are_refused_by_file_and_mode(tmp_path, mode, kind):
    path = tmp_path / "x.tif"
    Image.fromarray(GREY).convert(mode).save(path)
    expected = f"cannot read {path} as an image: mode {mode} ({kind}), whose black and white are "
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(expected)
    damage = inspect_image(str(path)).damage
    assert str(caught.value) == f"cannot read {path} as an image: {damage}"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.tif"])
def test_images_are_turned_as_their_exif_data_say(tmp_path, name, orientation):
    upright = np.zeros((32, 48, 3), dtype=np.uint8)
    upright[:16, :16] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif)
    image = read(tmp_path / name)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() < 60  # JPEG and WebP lose a little


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_composited_on_white(tmp_path, mode):
    """The colours below an alpha of 0 are arbitrary: encoders leave black, white or noise."""
    image = Image.fromarray(GREY).convert(mode)
    alpha = np.full(SHAPE, 255, dtype=np.uint8)
    alpha[0], alpha[1] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "x.png")
    pixels = read(tmp_path / "x.png")
    assert np.all(pixels[0] == 255)
    half = GREY[1] * (128 / 255) + 255 * (1 - 128 / 255)
    assert np.abs(pixels[1, :, 0] - half).max() <= 1
    assert np.array_equal(pixels[2:], WIDE[2:])
    treatments = inspect_image(str(tmp_path / "x.png")).treatments
    assert treatments == (Treatment.TRANSPARENT,)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(tmp_path, mode):
    image = Image.fromarray(GREY).convert(mode)
    key = image.getpixel((0, 0))
    image.save(tmp_path / "x.png", transparency=key)
    pixels = read(tmp_path / "x.png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(pixels[1:], WIDE[1:])


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png", "x.tif"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, name):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("black", "white", "red")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert read(tmp_path / name).max() == 0
    assert inspect_image(str(tmp_path / name)).treatments == (Treatment.ANIMATED,)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_other_modes_are_converted(tmp_path, mode):
    image = Image.new("RGB", (6, 4), "white").convert(mode) if mode != "LAB" else None
    image = image or Image.new("LAB", (6, 4), (255, 128, 128))
    image.save(tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as saved:
        assert saved.mode == mode
    assert read(tmp_path / "x.tif").min() >= 253


def test_damaged_exif_data_turn_nothing(tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "x.png", exif=b"Exif\0\0no data of this kind")
    assert np.array_equal(read(tmp_path / "x.png"), WIDE)


def test_treatments_are_counted() -> None:
    kinds = [(Treatment.TRANSPARENT,), (), (Treatment.TRANSPARENT, Treatment.ANIMATED)]
    assert describe_treatments(Inspection(None, one) for one in kinds) == [
        "2 of 3 images: transparent, composited on white",
        "1 of 3 images: animated or of several pages, of which the first is read",
    ]
