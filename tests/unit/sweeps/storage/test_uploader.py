"""The thread that uploads the changes of a running sweep."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.storage import uploader
from sweeps.storage.sweep_mirror import SweepMirror
from sweeps.storage.uploader import background_upload, uploader_of
from trainable.storage.object_store import ObjectStore


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_changes_are_uploaded_while_a_sweep_runs_and_all_of_them_at_the_end(
    mirror: SweepMirror, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "REQUEST_CHECK_INTERVAL_S", 0.01)
    sweep_file = mirror.directory / "sweep.json"
    sweep_file.write_text("1")
    with background_upload(mirror.directory):
        background = uploader_of(mirror.directory)
        assert background is not None
        assert store.read("sweep.json") == b"1"
        sweep_file.write_text("22")
        background.tick()
        wait_for(lambda: store.read("sweep.json") == b"22")
        store.write("stop", b"")
        wait_for(lambda: (mirror.directory / "stop").exists())
        assert "stop" not in store.list()
        sweep_file.write_text("333")
    assert store.read("sweep.json") == b"333"
    assert uploader_of(mirror.directory) is None


def test_objects_are_deleted_before_the_uploader_ends(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    store.write("trial/checkpoint_000000/checkpoint.pt", b"weights")
    with background_upload(mirror.directory):
        background = uploader_of(mirror.directory)
        assert background is not None
        background.delete(["trial/checkpoint_000000/checkpoint.pt"])
    assert store.list() == {}


def test_a_sweep_on_a_file_system_has_no_uploader(tmp_path: Path) -> None:
    with background_upload(tmp_path):
        assert uploader_of(tmp_path) is None
