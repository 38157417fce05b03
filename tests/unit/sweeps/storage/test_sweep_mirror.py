"""The local mirror of a sweep in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweeps.storage import location
from sweeps.storage.sweep_mirror import SweepMirror
from trainable.storage.mirror import is_placeholder
from trainable.storage.object_store import ObjectStore


def write(mirror: SweepMirror, name: str, text: str = "1") -> Path:
    path = mirror.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def names(changes: list[dict[str, Any]]) -> list[set[str]]:
    return [set(contents) for contents in changes]


def test_a_trial_is_recorded_before_the_events_that_name_it_and_its_end_after_them(
    mirror: SweepMirror,
) -> None:
    write(mirror, "old/trial.json")
    mirror.upload(mirror.read_changes())
    write(mirror, "old/trial.json", "ended")
    write(mirror, "new/trial.json")
    write(mirror, "split.json")
    write(mirror, "events.jsonl")
    write(mirror, "tuner.pkl")
    changes = mirror.read_changes()
    order = ["split.json", "new/trial.json", "events.jsonl", "old/trial.json"]
    assert names(changes) == [{name} for name in order]
    mirror.upload(changes)
    assert mirror.read_changes() == []
    assert mirror.store.list().keys() == set(order)


def test_a_record_is_uploaded_before_the_trial_is_assigned_to_a_worker(
    mirror: SweepMirror,
) -> None:
    write(mirror, "new/trial.json", "here")
    write(mirror, "split.json", "drawn")
    mirror.assign_to_worker("new")
    assert mirror.store.read("new/trial.json") == b"here"
    assert mirror.store.read("split.json") == b"drawn"


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


def test_weights_that_have_changed_in_the_store_are_downloaded_again(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    best = mirror.directory / "trial" / "checkpoints" / "best.pt"
    for content in (b"epoch 1", b"epoch 10"):
        store.write("trial/checkpoints/best.pt", content)
        mirror.pull()
        mirror.download_weights(best)
        assert best.read_bytes() == content


def test_weights_that_were_deleted_in_the_store_can_be_evicted(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    store.write("trial/checkpoints/best.pt", b"weights")
    mirror.pull()
    best = mirror.directory / "trial" / "checkpoints" / "best.pt"
    mirror.download_weights(best)
    store.delete(["trial/checkpoints/best.pt"])
    mirror.pull()
    mirror.evict(mirror.directory / "trial")
    assert not best.exists()
