"""The name of a cache changes with everything that its pixels depend on, and nothing else."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.decoded_caches import listed, settings, write_images
from trainable.data.cache.files import cache_key, list_files
from trainable.data.cache.settings import CacheSettings
from trainable.data.image_file import ReadRules
from trainable.data.listing import ListedImage, normalize_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", 4)


def key(images: list[ListedImage], chosen: CacheSettings) -> str:
    return cache_key(list_files(images)[0], chosen)


@pytest.mark.parametrize(
    "changes",
    [
        {"side": 17},
        {"interpolation": "bicubic"},
        {"crop_share": 0.875},
        {"rules": ReadRules(background=(0, 0, 0))},
        {"rules": ReadRules(max_value=4095)},
        {"rules": ReadRules(max_pixels=10)},
    ],
)
def test_settings_of_the_pixels_change_the_key(root, changes: dict[str, Any]):
    images = listed(root)
    assert key(images, settings(root, **changes)) != key(images, settings(root))


@pytest.mark.parametrize(
    "changes",
    [{"root": Path("/elsewhere")}, {"threads": 7}, {"limit": 1}, {"skip_unreadable": True}],
)
def test_other_settings_do_not(root, changes: dict[str, Any]):
    images = listed(root)
    assert key(images, replace(settings(root), **changes)) == key(images, settings(root))


def test_every_property_of_a_file_changes_the_key(root):
    images, chosen = listed(root), settings(root)
    keys = [key(images, chosen), key(images[1:], chosen)]
    renamed = replace(images[0], key="other.png")
    keys.append(key([renamed, *images[1:]], chosen))
    path = Path(images[0].path)
    status = path.stat()
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns + 1))
    keys.append(key(images, chosen))
    path.write_bytes(path.read_bytes() + b"0")
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    keys.append(key(images, chosen))
    assert len(set(keys)) == len(keys)


def test_labels_splits_groups_and_order_do_not(root):
    images, chosen = listed(root), settings(root)
    others = [replace(image, label=0, group="x") for image in images[::-1]]
    assert key(others, chosen) == key(images, chosen)
    assert key(images + images[:1], chosen) == key(images, chosen)
    assert list_files(others + others[:1])[1].tolist() == [3, 2, 1, 0, 3]


def test_a_moved_or_copied_data_set_has_the_same_key(root):
    before = key(listed(root), settings(root))
    moved = root.rename(root.parent / "moved")
    assert key(listed(moved), settings(moved)) == before


def test_names_that_differ_by_unicode_form_are_two_files(root):
    for form in ("NFC", "NFD"):
        (root / unicodedata.normalize(form, "\u00e9.png")).write_bytes(b"0")
    images = [replace(image, key=normalize_path(image.key)) for image in listed(root)]
    files, rows = list_files(images)
    assert len(files) == 6
    assert [files[row].path for row in rows] == [image.path for image in images]
