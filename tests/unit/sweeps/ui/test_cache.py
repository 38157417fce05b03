"""Which sweeps `sweep ui` shows, and under which keys."""

import shutil
from pathlib import Path

import pytest

from sweeps.ui import cache as cache_module
from sweeps.ui.cache import SweepCache
from sweeps.ui.discovery import find_sweeps
from tests.support.fake_sweeps import FakeSweep


def write(directory: Path) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    return FakeSweep(directory, trials=2).write()


def test_nested_sweeps_are_found_and_links_are_not_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    write(root / "flat")
    write(root / "group" / "deep" / "nested")
    write(root / ".hidden" / "sweep")
    write(other / "outside")
    (root / "link").symlink_to(other)
    (root / "broken").mkdir()
    (root / "broken" / "sweep.json").write_text("{")
    (root / "empty").mkdir()
    matches = find_sweeps([root])
    assert matches == {
        "broken": root / "broken",
        "flat": root / "flat",
        "group:deep:nested": root / "group" / "deep" / "nested",
    }


def test_a_root_may_be_a_sweep_and_keys_are_unique(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a" / "sweep"), write(tmp_path / "b" / "sweep")
    assert find_sweeps([first, second, first]) == {"sweep": first, "sweep~2": second}
    assert find_sweeps([tmp_path / "a", first]) == {"sweep": first}


def test_sweeps_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "DISCOVERY_INTERVAL_S", 0)
    write(tmp_path / "one")
    cache = SweepCache([tmp_path])
    assert [sweep.key for sweep in cache.sweeps()] == ["one"]
    view = cache.view("one")
    write(tmp_path / "two")
    assert [sweep.key for sweep in cache.sweeps()] == ["one", "two"]
    assert cache.view("one") is view
    shutil.rmtree(tmp_path / "one")
    assert [sweep.key for sweep in cache.sweeps()] == ["two"]
    assert cache.view("one") is None
    assert cache.view("../two") is None


def test_a_key_stays_with_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "DISCOVERY_INTERVAL_S", 0)
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    write(second / "x")
    cache = SweepCache([first, second])
    assert {s.key: s.directory for s in cache.sweeps()} == {"x": second / "x"}
    write(first / "x")
    expected = {"x": second / "x", "x~2": first / "x"}
    assert {s.key: s.directory for s in cache.sweeps()} == expected
    shutil.rmtree(second / "x")
    assert {s.key: s.directory for s in cache.sweeps()} == {"x~2": first / "x"}
    write(second / "x")
    assert {s.key: s.directory for s in cache.sweeps()} == expected


def test_a_sweep_that_no_page_shows_leaves_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "DISCOVERY_INTERVAL_S", 0)
    write(tmp_path / "one")
    cache = SweepCache([tmp_path])
    view = cache.view("one")
    monkeypatch.setattr(cache_module, "KEEP_S", -1)
    cache.sweeps()
    again = cache.view("one")
    assert view is not None
    assert again is not None
    assert again.sweep.results == view.sweep.results
    assert again.sweep.results[0] is not view.sweep.results[0]
