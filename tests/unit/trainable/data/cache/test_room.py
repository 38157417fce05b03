"""Where a cache has room."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.decoded_caches import entries, listed, settings, write_images
from trainable.data.cache.room import find_obstacle, find_refusal, has_room, show_size
from trainable.data.cache.store import open_decoded

GIB = 2**30
DAY_S = 86400
ENDLESS = 2**60
"""Bytes that no disk has."""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.0 MiB"), (2**20 * 3 // 2, "1.5 MiB"), (GIB, "1.0 GiB"), (12345 * 2**20, "12.1 GiB")],
)
def test_sizes_are_readable(size, text):
    assert show_size(size) == text


def test_a_new_folder_is_kept_out_of_git_and_of_backups(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert find_refusal(folder) is None
    assert (folder / ".gitignore").read_text() == "*\n"
    signature = "Signature: 8a477f597d28d172789f06886806bc55\n"  # of bford.info/cachedir
    assert (folder / "CACHEDIR.TAG").read_text().startswith(signature)
    assert len(list(folder.iterdir())) == 2


def test_old_caches_make_room_for_a_new_one(tmp_path):
    root = write_images(tmp_path / "data", 3)
    entry = open_decoded(listed(root), settings(root)).directory
    folder = entry.parent
    assert not has_room(folder, "other", ENDLESS, limit=GIB)
    assert entries(folder) == [entry]  # used a moment ago
    used = time.time() - 2 * DAY_S
    os.utime(entry / "used", (used, used))
    assert has_room(folder, "other", 2**10, limit=GIB)
    assert entries(folder) == [entry]
    assert not has_room(folder, "other", ENDLESS, limit=GIB)
    assert entries(folder) == []


def test_a_cache_that_is_being_built_has_its_room(tmp_path):
    assert not has_room(tmp_path, "key", ENDLESS, limit=GIB)
    (tmp_path / "key.part-host-1-0123abcd").mkdir()
    assert has_room(tmp_path, "key", ENDLESS, limit=GIB)
    assert not has_room(tmp_path, "other", ENDLESS, limit=GIB)


def test_an_obstacle_is_found_without_creating_anything(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert find_obstacle(folder, 2**10) is None
    assert (find_obstacle(folder, ENDLESS) or "").endswith(" GiB are free")
    (tmp_path / "file").touch()
    assert find_obstacle(tmp_path / "file" / "x", 0) == "it cannot be written to"
    assert not folder.parent.exists()
