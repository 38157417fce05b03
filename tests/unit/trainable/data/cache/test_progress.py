"""A builder says how far it is, to the user and to those who wait."""

from __future__ import annotations

from pathlib import Path

from trainable.data.cache import progress
from trainable.data.cache.eviction import PROGRESS_FILE, new_part
from trainable.data.cache.locks import try_lock
from trainable.data.cache.progress import Progress, describe_builder


def test_long_builds_are_reported_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.0)
    lines: list[str] = []
    report = Progress(new_part(tmp_path, "key"), 2000, Path("/data"), lines.append)
    for done in (500, 1000, 2000):
        report(done)
    assert lines == ["decoding 2,000 images of /data: 0 %"]


def test_short_builds_are_not(tmp_path):
    lines: list[str] = []
    Progress(new_part(tmp_path, "key"), 2000, Path("/data"), lines.append)(1000)
    assert not lines


def test_a_builder_holds_the_lock_of_its_directory(tmp_path):
    part = new_part(tmp_path, "key")
    builder = Progress(part, 10, Path("/data"), print)
    builder(5)
    assert try_lock(part / PROGRESS_FILE, shared=False) is None
    del builder
    assert try_lock(part / PROGRESS_FILE, shared=False) is not None


def test_without_progress_a_builder_is_another_process(tmp_path):
    expected = "another process, which decodes the images of /data"
    assert describe_builder(tmp_path / "key", Path("/data")) == expected
