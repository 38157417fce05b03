"""Locations of sweeps: local paths, and URIs with their mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.storage import location
from sweeps.storage.sweep_mirror import SweepMirror
from trainable.errors import StorageError
from trainable.storage.object_store import ObjectStore


def test_a_path_is_its_own_location(tmp_path: Path) -> None:
    assert location.resolve(tmp_path) == tmp_path
    assert location.resolve(f"file://{tmp_path}") == tmp_path
    assert location.mirror_of(tmp_path) is None
    assert location.checkpoint_dir_of(tmp_path) == str(tmp_path.parent)


def test_a_uri_has_one_mirror_which_is_updated(mirror: SweepMirror, store: ObjectStore) -> None:
    store.write("sweep.json", b"{}")
    assert location.resolve(store.uri) == mirror.directory
    assert (mirror.directory / "sweep.json").read_bytes() == b"{}"
    assert location.mirror_of(mirror.directory / "trial" / "trial.json") is mirror
    assert f"{location.checkpoint_dir_of(mirror.directory)}/sweep" == store.uri


def test_a_directory_in_a_mirror_has_a_directory_in_the_store(mirror: SweepMirror) -> None:
    trial = location.store_of(mirror.directory / "trial")
    assert trial is not None
    assert trial.uri == f"{mirror.store.uri}/trial"
    assert location.store_of(mirror.directory) is mirror.store


def test_a_file_in_a_mirror_can_be_uploaded(mirror: SweepMirror, store: ObjectStore) -> None:
    (mirror.directory / "report.html").write_text("report")
    location.upload(mirror.directory / "report.html")
    assert store.read("report.html") == b"report"


def test_on_a_file_system_a_checkpoint_is_seeded_by_a_link(tmp_path: Path) -> None:
    checkpoint, target = tmp_path / "latest.pt", tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"weights")
    location.seed_checkpoint(checkpoint, target)
    assert target.samefile(checkpoint)


def test_names_are_joined_to_paths_and_uris() -> None:
    assert location.join_location("experiments", "mine") == "experiments/mine"
    assert location.join_location("s3://bucket/x", "my sweep") == "s3://bucket/x/my%20sweep"


def test_a_uri_without_a_bucket_is_refused() -> None:
    with pytest.raises(StorageError, match="must name a bucket"):
        location.resolve("s3:///sweeps")
