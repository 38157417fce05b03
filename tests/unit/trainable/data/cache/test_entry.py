"""A cache is whole or built again, and its readers survive its deletion."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.decoded_caches import listed, read_pixels, settings, write_images
from trainable.data.cache.store import open_decoded


def cut_pixels(entry: Path) -> None:
    with (entry / "pixels.npy").open("r+b") as file:
        file.truncate(1000)


def change_header(entry: Path) -> None:
    path = entry / "pixels.npy"
    path.write_bytes(path.read_bytes().replace(b"8, 10, 3", b"10, 8, 3"))


@pytest.mark.parametrize(
    "damage",
    [
        cut_pixels,
        change_header,
        lambda entry: (entry / "pixels.npy").unlink(),
        lambda entry: (entry / "index.npz").write_bytes(b"PK"),
        lambda entry: (entry / "about.json").write_text("{}"),
        lambda entry: (entry / "about.json").write_text("[1"),
    ],
    ids=["cut", "header", "no_pixels", "index", "about", "json"],
)
def test_a_damaged_cache_is_built_again(tmp_path, damage):
    root = write_images(tmp_path / "data", 3)
    entry = open_decoded(listed(root), settings(root)).directory
    damage(entry)
    again = open_decoded(listed(root), settings(root))
    assert again.notices[0].startswith("decoded 3 images")
    assert again.directory == entry
    assert np.array_equal(again.read(range(3)), read_pixels(listed(root)))
    assert open_decoded(listed(root), settings(root)).notices[0].startswith("reused 3")


def test_a_reader_goes_on_when_its_cache_is_deleted(tmp_path):
    root = write_images(tmp_path / "data", 3)
    decoded = open_decoded(listed(root), settings(root))
    shutil.rmtree(decoded.directory.parent)
    expected = read_pixels(listed(root))
    assert np.array_equal(decoded.read(range(3)), expected)
    decoded.fits_memory = False
    assert np.array_equal(decoded.read(range(3)), expected)
    decoded.read_ahead()


def test_opening_a_cache_notes_its_use(tmp_path):
    root = write_images(tmp_path / "data", 3)
    used = open_decoded(listed(root), settings(root)).directory / "used"
    os.utime(used, (0, 0))
    open_decoded(listed(root), settings(root))
    assert used.stat().st_mtime > 0
