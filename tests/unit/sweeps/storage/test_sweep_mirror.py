"""The local mirror of a sweep in object storage, and the thread that uploads its changes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.storage import location, uploader
from sweeps.storage.sweep_mirror import SweepMirror
from sweeps.storage.uploader import background_upload, uploader_of
from trainable.storage.mirror import is_placeholder
from trainable.storage.object_store import ObjectStore


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}/sweep")


@pytest.fixture
def mirror(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[SweepMirror]:
    monkeypatch.setattr(location, "_mirrors", {})
    mirror = location.mirror_of(location.resolve(store.uri))
    assert mirror is not None
    yield mirror
    mirror.close()


def write(mirror: SweepMirror, name: str, text: str = "1") -> Path:
    path = mirror.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def names(changes: list[dict[str, Any]]) -> list[set[str]]:
    return [set(contents) for contents in changes]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trial_is_recorded_before_the_events_that_name_it_and_its_end_after_them(
    mirror: SweepMirror,
) -> None:
    write(mirror, "old/trial.json")
    mirror.upload(mirror.read_changes())
    write(mirror, "old/trial.json", "ended")
    write(mirror, "new/trial.json")
    write(mirror, "events.jsonl")
    write(mirror, "tuner.pkl")
    changes = mirror.read_changes()
    assert names(changes) == [{"new/trial.json"}, {"events.jsonl"}, {"old/trial.json"}]
    mirror.upload(changes)
    assert mirror.read_changes() == []
    assert mirror.store.list().keys() == {"new/trial.json", "events.jsonl", "old/trial.json"}


def test_a_record_is_uploaded_before_the_trial_is_assigned_to_a_worker(
    mirror: SweepMirror,
) -> None:
    write(mirror, "new/trial.json", "here")
    mirror.assign_to_worker("new")
    assert mirror.store.read("new/trial.json") == b"here"


def test_the_files_of_a_worker_are_downloaded_and_the_drivers_changes_uploaded(
    mirror: SweepMirror,
) -> None:
    mirror.assign_to_worker(write(mirror, "trial/trial.json", "driver").parent.name)
    mirror.store.write("trial/trial.json", b"outdated")
    mirror.store.write("trial/metrics.jsonl", b"{}\n")
    mirror.store.write("trial/tensorboard/events", b"curve")
    mirror.store.write("trial/checkpoints/best.pt", b"weights")
    mirror.sync_trial("trial")
    trial = mirror.directory / "trial"
    assert (trial / "trial.json").read_text() == "driver"
    assert (trial / "metrics.jsonl").read_text() == "{}\n"
    best = trial / "checkpoints" / "best.pt"
    assert is_placeholder(best)
    assert location.download(best).read_bytes() == b"weights"
    location.evict(trial)
    assert is_placeholder(best)
    write(mirror, "trial/tensorboard/events", "curve, ended")
    mirror.sync_trials()
    assert (trial / "tensorboard" / "events").read_text() == "curve, ended"
    assert names(mirror.read_changes()) == [{"trial/tensorboard/events"}]


def test_the_files_of_a_trial_with_a_worker_are_not_uploaded(mirror: SweepMirror) -> None:
    write(mirror, "trial/trial.json")
    write(mirror, "trial/metrics.jsonl")
    mirror.assign_to_worker("trial")
    assert mirror.read_changes() == []


def test_a_checkpoint_is_seeded_without_a_download(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    for name in ("checkpoints/latest.pt", "checkpoint_000007/checkpoint.pt"):
        store.write(f"trial/{name}", b"weights")
    mirror.pull()
    trial = mirror.directory / "trial"
    target = trial / "checkpoint_000000" / "checkpoint.pt"
    location.seed_checkpoint(trial / "checkpoints" / "latest.pt", target)
    assert store.list().keys() == {
        "trial/checkpoints/latest.pt",
        "trial/checkpoint_000000/checkpoint.pt",
    }
    assert is_placeholder(trial / "checkpoints" / "latest.pt")


def test_changes_are_uploaded_while_a_sweep_runs_and_all_of_them_at_the_end(
    mirror: SweepMirror, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "STOP_CHECK_INTERVAL_S", 0.01)
    store.write("stop", b"meant for a driver that died")
    write(mirror, "sweep.json", "1")
    with background_upload(mirror.directory):
        background = uploader_of(mirror.directory)
        assert background is not None
        assert store.read("sweep.json") == b"1"
        assert "stop" not in store.list()
        write(mirror, "sweep.json", "22")
        background.tick()
        wait_for(lambda: store.read("sweep.json") == b"22")
        store.write("stop", b"")
        wait_for(lambda: (mirror.directory / "stop").exists())
        assert "stop" not in store.list()
        write(mirror, "sweep.json", "333")
    assert store.read("sweep.json") == b"333"
    assert uploader_of(mirror.directory) is None
