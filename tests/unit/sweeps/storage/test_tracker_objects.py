"""Files of trackers of a sweep in object storage, and metrics that a worker writes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.storage.location import read_live
from sweeps.storage.sweep_mirror import SweepMirror
from sweeps.storage.tracker_objects import download_trackers, upload_marks, upload_trackers
from trainable.storage.object_store import RETRY_S, SHORT_RETRY_S, ObjectStore


def test_only_a_driver_downloads_the_files_of_trackers(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    store.write("trackers.json", b"{}")
    store.write("wandb/offline-run-1/run.wandb", b"run")
    store.write("search.yaml", b"name: mine")
    mirror.pull()
    assert [path.name for path in mirror.directory.iterdir()] == ["search.yaml"]
    download_trackers(mirror.directory)
    mirror.pull()  # leaves them alone
    assert (mirror.directory / "trackers.json").read_bytes() == b"{}"
    assert (mirror.directory / "wandb/offline-run-1/run.wandb").read_bytes() == b"run"


def test_their_files_are_uploaded_and_those_that_were_replaced_deleted(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    store.write("wandb/offline-run-1/run.wandb", b"run")
    download_trackers(mirror.directory)
    (mirror.directory / "wandb/offline-run-1/run.wandb").unlink()
    for name in ("wandb/offline-run-2/run.wandb", "mlflow.db", "study.log", "trackers.json"):
        path = mirror.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    upload_trackers(mirror.directory, ["study.log"])
    expected = {"mlflow.db", "study.log", "trackers.json", "wandb/offline-run-2/run.wandb"}
    assert store.list().keys() == expected
    assert store.read("mlflow.db") == b"mlflow.db"


def test_a_journal_elsewhere_is_not_uploaded(
    mirror: SweepMirror, store: ObjectStore, tmp_path: Path
) -> None:
    for path in (tmp_path / "study.log", mirror.directory / "own.log"):
        path.write_text("{}")
    upload_trackers(mirror.directory, [str(tmp_path / "study.log"), "own.log"])
    assert store.list().keys() == {"own.log"}


def test_the_loop_of_the_driver_waits_only_a_short_time_for_the_store(
    mirror: SweepMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.store.retry_s = RETRY_S
    retry, limits = ObjectStore._retry, set()

    def note_limit(self: ObjectStore, *arguments: Any) -> Any:
        limits.add(self.retry_s)
        return retry(self, *arguments)

    monkeypatch.setattr(ObjectStore, "_retry", note_limit)
    (mirror.directory / "trackers.json").write_text("{}")
    upload_marks(mirror.directory)
    download_trackers(mirror.directory)
    assert limits == {SHORT_RETRY_S}
    assert mirror.store.retry_s == RETRY_S


def test_metrics_are_read_from_the_store_while_a_worker_has_the_trial(
    mirror: SweepMirror, store: ObjectStore
) -> None:
    path = mirror.directory / "trial_0" / "metrics.jsonl"
    path.parent.mkdir()
    (path.parent / "trial.json").write_text("{}")
    path.write_text("old")
    assert read_live(path) == b"old"
    mirror.assign_to_worker("trial_0")
    with pytest.raises(FileNotFoundError, match=r"metrics.jsonl"):
        read_live(path)
    store.write("trial_0/metrics.jsonl", b"new")
    assert read_live(path) == b"new"


def test_nothing_is_moved_for_a_sweep_on_a_file_system(tmp_path: Path) -> None:
    (tmp_path / "trackers.json").write_text("{}")
    download_trackers(tmp_path)
    upload_trackers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trackers.json"]
