"""Every file becomes the picture that a person sees, whatever its mode."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainable.config import ImageFolderDataset
from trainable.data.image_file import (
    MAX_PIXELS,
    Inspection,
    ReadRules,
    Treatment,
    decode_image,
    describe_treatments,
    inspect_image,
    measure_image,
    read_image,
    read_rules,
)
from trainable.errors import DataError

SHAPE = (4, 6)
GREY = (np.arange(24, dtype=np.uint8) * 11).reshape(SHAPE)
WIDE = np.repeat(GREY[:, :, None], 3, axis=2)


def read(path: Path, **rules: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_image(str(path), ReadRules(**rules))
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
    inspection = inspect_image(str(tmp_path / name))
    assert (inspection.damage, inspection.treatments) == (None, (Treatment.DEEP,))
    assert inspection.size == SHAPE[::-1]


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
    assert measure_image(str(tmp_path / name)) == (32, 48)
    decoded = decode_image(str(tmp_path / name), reduce_to=8)
    assert decoded.size == (32, 48)
    assert decoded.rgb.size == ((12, 8) if name == "x.jpg" else (48, 32))


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
        if (mode, saved.mode) == ("YCbCr", "RGB"):
            pytest.skip("Pillow before 13 cannot read the TIFF file that it writes")
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


def test_rules_are_the_keys_of_the_data_set():
    keys = {"background": [1, 2, 3], "max_value": 4095, "max_pixels": 10_000}
    dataset = ImageFolderDataset(name="image_folder", **keys)
    assert read_rules(dataset) == ReadRules((1, 2, 3), 4095, 10_000)
    assert read_rules(ImageFolderDataset(name="image_folder")) == ReadRules()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_the_background_is_seen_through_transparent_pixels(tmp_path, mode):
    path, options = tmp_path / "x.png", {}
    image = sixteen_bit() if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    if mode in {"RGBA", "LA"}:
        alpha = np.full(SHAPE, 255, dtype=np.uint8)
        alpha[0, 0] = 0
        image.putalpha(Image.fromarray(alpha))
    else:
        options["transparency"] = image.getpixel((0, 0))
    image.save(path, **options)
    pixels = read(path, background=(10, 200, 30))
    assert pixels[0, 0].tolist() == [10, 200, 30]
    assert np.array_equal(pixels[1:], WIDE[1:])
    notices = describe_treatments([inspect_image(str(path))], ReadRules((10, 200, 30)))
    assert "1 of 1 images: transparent, composited on RGB 10, 200, 30" in notices


@pytest.mark.parametrize(("mode", "name"), [("I;16", "x.png"), ("I;16", "x.tif"), ("I", "x.tif"),
                                            ("F", "x.tif"), ("I;16B", "x.tif")])  # fmt: skip
def test_the_stated_value_is_white(tmp_path, mode, name):
    """Values of 12 bits in files of 16 and 32."""
    values = GREY.astype(np.float64) * (4095 / 255)
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    data = np.rint(values).astype(kind) if mode != "F" else values.astype(kind)
    Image.frombytes(mode, SHAPE[::-1], data.tobytes()).save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name, max_value=4095), WIDE)
    inspection = inspect_image(str(tmp_path / name), ReadRules(max_value=4095), decodes=True)
    assert inspection.damage is None
    assert inspection.max_value == pytest.approx(data.max())
    assert describe_treatments([inspection], ReadRules(max_value=4095)) == [
        "1 of 1 images: grey of more than 8 bits, scaled to 8 bits (4095 is white)"
    ]


def test_values_outside_black_and_white_are_clipped(tmp_path):
    values = np.array([[-1.0, 0.0, 0.5, 1.0, 7.0]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert read(tmp_path / "x.tif", max_value=1)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_values_that_are_no_numbers_are_refused(tmp_path):
    Image.fromarray(np.array([[np.nan, 1]], dtype=np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="not finite numbers"):
        read(tmp_path / "x.tif", max_value=1)
    inspection = inspect_image(str(tmp_path / "x.tif"), ReadRules(max_value=1), decodes=True)
    assert inspection.damage == "it has values that are not finite numbers"


def test_the_white_of_a_pgm_is_in_its_header(tmp_path):
    data = np.rint(GREY * (4095 / 255)).astype(">u2").tobytes()
    (tmp_path / "x.pgm").write_bytes(b"P5 6 4 4095\n" + data)
    for max_value in (None, 4095, 100):
        assert np.array_equal(read(tmp_path / "x.pgm", max_value=max_value), WIDE)


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(GREY).save(path)
    expected = "24 pixels, more than the limit of 23; if the file is right, raise "
    with pytest.raises(DataError, match=expected + "dataset.max_pixels"):
        read(path, max_pixels=23)
    assert inspect_image(str(path), ReadRules(max_pixels=23)).damage == (
        expected + "dataset.max_pixels"
    )
    assert np.array_equal(read(path, max_pixels=24), WIDE)


def test_a_limit_above_that_of_pillow_holds(tmp_path):
    path, before = tmp_path / "x.bmp", Image.MAX_IMAGE_PIXELS
    Image.new("1", (32, 1)).save(path)
    content = bytearray(path.read_bytes())
    width = MAX_PIXELS + 31
    content[18:22] = width.to_bytes(4, "little")
    path.write_bytes(content)
    default = inspect_image(str(path)).damage
    assert f"({width} pixels) exceeds limit of {MAX_PIXELS} pixels" in default
    assert default.endswith("if the file is right, raise dataset.max_pixels")
    try:
        raised = inspect_image(str(path), ReadRules(max_pixels=2 * MAX_PIXELS)).damage
        assert "pixels" not in raised  # it is cut short
        assert "pixels, more than the limit" in inspect_image(str(path)).damage
    finally:
        Image.MAX_IMAGE_PIXELS = before


@pytest.mark.parametrize("name", ["x.jpg", "x.tif"])
def test_cmyk_is_converted_and_counted(tmp_path, name):
    Image.new("CMYK", (6, 4), (0, 255, 255, 0)).save(tmp_path / name)
    assert np.abs(read(tmp_path / name)[0, 0].astype(int) - (255, 0, 0)).max() <= 2
    assert inspect_image(str(tmp_path / name)).treatments == (Treatment.CMYK,)


def test_a_damaged_avif_file_is_named(tmp_path):
    """Pillow raises another class of error than for other formats."""
    path = tmp_path / "x.avif"
    Image.fromarray(WIDE).save(path)
    path.write_bytes(path.read_bytes().replace(b"pitm", b"free"))
    with pytest.raises(DataError, match=rf"^cannot read {path} as an image: Failed to decode"):
        read(path)
    assert (inspect_image(str(path)).damage or "").startswith("Failed to decode")
