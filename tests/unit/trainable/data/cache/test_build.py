"""Stored images: as they are, or reduced to the side, each length for itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.decoded_caches import listed, read_pixels, settings, write_images
from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.settings import FOLDER
from trainable.data.cache.store import open_decoded
from trainable.data.image_file import Treatment

CORNER = (slice(0, 8), slice(0, 10))


def decode(root: Path, **changes: object) -> DecodedImages:
    return open_decoded(listed(root), settings(root, **changes))


def save(root: Path, name: str, size: tuple[int, int], **options: object) -> Image.Image:
    """Writes an image of a size (height, width) with smooth content; returns it."""
    root.mkdir(exist_ok=True)
    x, y = np.meshgrid(np.linspace(0, 255, size[1]), np.linspace(0, 255, size[0]))
    image = Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))
    image.save(root / name, **options)
    return image


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_long_sides_are_reduced_and_short_ones_kept(tmp_path, interpolation):
    root = tmp_path / "data"
    sizes = {"a.png": (40, 12), "b.png": (10, 16), "c.png": (64, 32)}
    originals = [save(root, name, size) for name, size in sizes.items()]
    decoded = decode(root, interpolation=interpolation)
    assert decoded.pixels.shape == (3, 16, 16, 3)
    assert decoded.sizes.tolist() == [[40, 12], [10, 16], [64, 32]]
    assert decoded.stored.tolist() == [[16, 12], [10, 16], [16, 16]]
    rows = decoded.read(range(3))
    resampling = Image.Resampling[interpolation.upper()]
    for row, original, (height, width) in zip(rows, originals, decoded.stored, strict=True):
        expected = np.asarray(original.resize((width, height), resampling))
        assert np.array_equal(row[:height, :width], expected)
        assert not row[height:].any()
        assert not row[:, width:].any()


def test_images_of_one_size_are_stored_without_loss(tmp_path):
    root = write_images(tmp_path / "data", 3)
    decoded = decode(root, side=10)
    assert decoded.pixels.shape == (3, 8, 10, 3)
    assert np.array_equal(decoded.read(range(3)), read_pixels(listed(root)))


def test_an_image_larger_than_the_sampled_ones_is_stored_like_them(tmp_path):
    root = write_images(tmp_path / "data")
    save(root, "101.png", (12, 9))
    decoded = decode(root)
    assert decoded.pixels.shape == (200, 12, 10, 3)
    assert decoded.sizes[101].tolist() == [12, 9]
    images = listed(root)
    rows = decoded.read(range(200))
    assert np.array_equal(rows[101][:, :9], read_pixels(images[101:102])[0])
    assert np.array_equal(rows[:101][:, *CORNER], read_pixels(images[:101]))
    assert np.array_equal(rows[102:][:, *CORNER], read_pixels(images[102:]))


def test_large_jpeg_files_are_nearly_those_that_are_decoded_whole(tmp_path):
    root = tmp_path / "data"
    save(root, "a.jpg", (512, 256), quality=95)
    (row,) = decode(root).read([0])
    with Image.open(root / "a.jpg") as image:
        whole = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR))
    assert np.abs(row.astype(int) - whole).max() <= 2


def test_images_are_upright_and_their_treatments_are_counted(tmp_path):
    root = tmp_path / "data"
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root, "a.png", (40, 12), exif=exif)
    Image.new("RGBA", (9, 9)).save(root / "b.png")
    decoded = decode(root)
    assert decoded.sizes.tolist() == [[12, 40], [9, 9]]
    assert decoded.treatments == {Treatment.TRANSPARENT: 1}
    assert (decoded.read([1])[0][:9, :9] == 255).all()


def test_the_content_of_every_file_has_its_hash(tmp_path):
    root = write_images(tmp_path / "data", 3)
    (root / "002.png").write_bytes((root / "000.png").read_bytes())
    hashes = [image.tobytes() for image in decode(root).hashes]
    contents = [Path(image.path).read_bytes() for image in listed(root)]
    assert hashes == [hashlib.blake2b(data, digest_size=16).digest() for data in contents]
    assert hashes[0] == hashes[2] != hashes[1]


def test_threads_change_nothing(tmp_path):
    root = write_images(tmp_path / "data")
    first = decode(root, threads=1)
    second = decode(root, threads=8, directory=tmp_path / "other")
    assert second.directory.parent == tmp_path / "other" / FOLDER
    names = ("pixels.npy", "index.npz")
    assert all(
        (first.directory / name).read_bytes() == (second.directory / name).read_bytes()
        for name in names
    )
