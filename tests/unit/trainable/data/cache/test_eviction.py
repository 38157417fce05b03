"""Old caches are deleted; what is in use, or was a moment ago, stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.decoded_caches import entries, listed, parts, settings, write_images
from trainable.data.cache.eviction import (
    PROGRESS_FILE,
    discard,
    evict,
    new_part,
    remove_dead_parts,
)
from trainable.data.cache.locks import try_lock
from trainable.data.cache.store import open_decoded

KIB = 1024
DAY_S = 86400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Caches `a` to `d` of 10 KiB, not used for 1.5 to 4.5 days."""
    for days, name in enumerate("abcd", start=1):
        add(tmp_path, name, days + 0.5)
    (tmp_path / "note.txt").touch()  # not a cache
    return tmp_path


def add(folder: Path, name: str, days: float) -> Path:
    (folder / name).mkdir()
    (folder / name / "pixels.npy").write_bytes(bytes(10 * KIB))
    used = folder / name / "used"
    used.touch()
    age(used, days)
    return used


def age(path: Path, days: float) -> None:
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))


def names(folder: Path) -> str:
    return "".join(sorted(path.name for path in entries(folder)))


def test_the_ones_that_were_not_used_for_the_longest_time_go_first(folder):
    evict(folder, limit=25 * KIB)
    assert names(folder) == "ab"
    assert (folder / "note.txt").exists()
    evict(folder, limit=25 * KIB, needed=10 * KIB)
    assert names(folder) == "a"


def test_nothing_goes_while_there_is_room(folder):
    evict(folder, limit=41 * KIB)
    assert names(folder) == "abcd"


def test_caches_go_after_thirty_days(folder):
    add(folder, "e", 29.9)
    add(folder, "f", 30.1)
    evict(folder, limit=2**30)
    assert names(folder) == "abcde"


def test_caches_used_within_a_day_stay(folder):
    age(folder / "d" / "used", 0.9)
    evict(folder, limit=0)
    assert names(folder) == "d"


def test_caches_in_use_stay(folder):
    use = try_lock(folder / "d" / "used", shared=True)
    evict(folder, limit=0)
    assert names(folder) == "d"
    assert use is not None
    use.close()
    evict(folder, limit=0)
    assert names(folder) == ""


def test_a_training_keeps_its_cache_and_one_that_has_ended_does_not(tmp_path):
    root = write_images(tmp_path / "data", 3)
    decoded = open_decoded(listed(root), settings(root))
    used = decoded.directory / "used"
    age(used, 40)
    evict(used.parents[1], limit=0)
    assert used.exists()
    del decoded
    evict(used.parents[1], limit=0)
    assert not used.parent.exists()


def test_opening_a_data_set_deletes_caches_of_others_beyond_the_limit(tmp_path):
    root = write_images(tmp_path / "data", 3)
    old = open_decoded(listed(root), settings(root)).directory
    for days, limit in ((1.5, 2**30), (0.5, 0)):
        age(old / "used", days)
        new = open_decoded(listed(root)[1:], settings(root, limit=limit)).directory
        assert sorted(entries(old.parent)) == sorted([old, new])
    age(old / "used", 1.5)
    open_decoded(listed(root)[1:], settings(root, limit=0))
    assert entries(old.parent) == [new]


def test_what_a_dead_builder_has_left_is_deleted(tmp_path):
    alive, new, dead, remote, old = (new_part(tmp_path, "key") for _ in range(5))
    for part in (alive, dead, remote, old):
        (part / PROGRESS_FILE).touch()
    lock = try_lock(alive / PROGRESS_FILE, shared=False)
    elsewhere = [part.rename(rename_host(part)) for part in (remote, old)]
    age(elsewhere[1] / PROGRESS_FILE, 1.1)
    age(elsewhere[1], 1.1)
    remove_dead_parts(tmp_path)
    assert sorted(parts(tmp_path)) == sorted([alive, new, elsewhere[0]])
    assert lock is not None


def rename_host(part: Path) -> Path:
    key, _, _ = part.name.partition(".part-")
    return part.with_name(f"{key}.part-another-host-1-{part.name[-8:]}")


def test_a_cache_is_discarded_whole(folder):
    discard(folder / "a")
    discard(folder / "gone")
    assert names(folder) == "bcd"
    assert not parts(folder)
