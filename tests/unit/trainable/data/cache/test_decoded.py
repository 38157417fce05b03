"""Images are read by number, from the mapping or from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.decoded_caches import listed, read_pixels, settings, write_images
from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.store import open_decoded

NUMBERS = [5, 0, 7, 0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", 8)


@pytest.fixture(params=[True, False], ids=["mapping", "file"])
def decoded(request: pytest.FixtureRequest, root: Path) -> DecodedImages:
    images = open_decoded(listed(root)[::-1], settings(root, threads=2))
    images.fits_memory = request.param
    return images


def test_images_come_in_the_order_of_their_numbers(root, decoded):
    expected = read_pixels(listed(root))[::-1][NUMBERS]
    assert len(decoded) == 8
    assert np.array_equal(decoded.read(NUMBERS), expected)
    out = np.zeros_like(expected)
    assert decoded.read(np.array(NUMBERS), out) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(decoded.pixels[decoded.rows[NUMBERS]], expected)


def test_an_unknown_number_is_an_error(decoded):
    with pytest.raises(IndexError):
        decoded.read([8])


def test_pixels_cannot_be_changed(decoded):
    with pytest.raises(ValueError, match="read-only"):
        decoded.pixels[0] = 0


def test_small_data_fit_into_memory(root):
    assert open_decoded(listed(root), settings(root)).fits_memory
