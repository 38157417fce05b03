"""The side of stored images and the folders of caches."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from trainable.config import ImageFolderDataset
from trainable.data.cache.settings import FOLDER, cache_settings, stored_side
from trainable.data.image_file import ReadRules


@pytest.mark.parametrize(
    ("image_size", "crop_share", "side"),
    [
        (32, 0.875, 64),  # twice
        (64, 0.875, 128),
        (80, 0.875, 128),
        (96, 0.875, 138),  # 1.43 times
        (224, 0.875, 320),
        (224, 0.5, 448),  # what evaluation resizes to
    ],
)
def test_images_are_stored_larger_than_a_model_gets_them(image_size, crop_share, side):
    assert stored_side(image_size, crop_share) == side


def test_settings_follow_from_the_section(tmp_path, monkeypatch):
    section = ImageFolderDataset(
        name="image_folder",
        root=str(tmp_path),
        image_size=32,
        interpolation="bicubic",
        background=(0, 0, 0),
        cache_gib=2.0,
        skip_unreadable=True,
    )
    settings = cache_settings(section, threads=3)
    assert (settings.side, settings.interpolation, settings.threads) == (64, "bicubic", 3)
    assert settings.rules == ReadRules(background=(0, 0, 0))
    assert (settings.limit, settings.skip_unreadable) == (2 * 2**30, True)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/caches")
    home = Path("/home/me/caches/tune-sweeps/decoded")
    assert settings.folders() == [tmp_path / FOLDER, home]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert settings.folders()[1] == Path("/home/me/.cache/tune-sweeps/decoded")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a user without a name
    without_name = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    assert settings.folders()[1] == without_name / "tune-sweeps" / "decoded"
    section = section.model_copy(update={"cache_dir": "/scratch"})
    assert cache_settings(section).folders() == [Path("/scratch") / FOLDER]
