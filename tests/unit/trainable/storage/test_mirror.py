"""Mirror of a training: changes are uploaded, each content once."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import FileSelector

from trainable.storage.mirror import (
    TUNE_CHECKPOINTS,
    TrainingMirror,
    delete_objects,
    is_placeholder,
)
from trainable.storage.object_store import ObjectStore


class RecordingStore:
    """A store that records its uploads and copies."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in {"upload", "copy"}:
            return method

        def call(source: Any, target: str) -> None:
            self.calls.append(f"{name} {target}")
            method(source, target)

        return call


@pytest.fixture
def store() -> Any:
    return RecordingStore(ObjectStore(f"memory://{uuid.uuid4().hex}/trial"))


@pytest.fixture
def mirror(tmp_path: Path, store: Any) -> TrainingMirror:
    return TrainingMirror(tmp_path, store, kept=[TUNE_CHECKPOINTS])


def save(directory: Path, content: bytes, *names: str) -> None:
    """Saves one file under several names, as checkpoints are saved."""
    (directory / "checkpoints").mkdir(exist_ok=True)
    first = directory / "checkpoints" / f".{uuid.uuid4().hex}.tmp"
    first.write_bytes(content)
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).unlink(missing_ok=True)
        os.link(first, directory / name)


def test_names_of_one_file_are_uploaded_once_and_latest_comes_last(
    tmp_path: Path, store: Any, mirror: TrainingMirror
) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "trial.json").write_text("the driver's")
    names = [f"checkpoints/{name}.pt" for name in ("latest", "epoch_0002", "best")]
    save(tmp_path, b"weights", *names)
    mirror.upload()
    assert store.calls == [
        "upload metrics.jsonl",
        "upload checkpoints/best.pt",
        "copy checkpoints/epoch_0002.pt",
        "copy checkpoints/latest.pt",
    ]
    (tmp_path / "checkpoint_000001").mkdir()
    os.link(tmp_path / names[0], tmp_path / "checkpoint_000001/checkpoint.pt")
    store.calls.clear()
    mirror.upload()
    assert store.calls == ["copy checkpoint_000001/checkpoint.pt"]
    assert {store.read(name) for name in [*names, "checkpoint_000001/checkpoint.pt"]} == {
        b"weights"
    }
    store.calls.clear()
    mirror.upload()
    assert store.calls == []


def test_objects_of_deleted_files_are_deleted_except_those_to_keep(
    tmp_path: Path, store: Any, mirror: TrainingMirror
) -> None:
    save(tmp_path, b"1", "checkpoints/epoch_0001.pt", "checkpoint_000000/checkpoint.pt")
    mirror.upload()
    store.write("trial.json", b"{}")
    for path in tmp_path.glob("checkpoint*/*.pt"):
        path.unlink()
    mirror.upload()
    assert store.list().keys() == {"checkpoint_000000/checkpoint.pt", "trial.json"}


def test_pulled_files_are_not_uploaded_again_and_weights_are_placeholders(
    tmp_path: Path, store: Any, mirror: TrainingMirror
) -> None:
    for name in ("metrics.jsonl", "checkpoints/epoch_0001.pt", "checkpoints/latest.pt"):
        store.write(name, b"1234")
    mirror.pull(store.list())
    latest = tmp_path / "checkpoints" / "latest.pt"
    assert is_placeholder(latest)
    assert latest.stat().st_size == 4
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"1234"
    (tmp_path / "checkpoint_000003").mkdir()
    os.link(latest, tmp_path / "checkpoint_000003" / "checkpoint.pt")
    (tmp_path / "checkpoints" / "epoch_0001.pt").unlink()
    mirror.upload()
    assert store.calls == ["copy checkpoint_000003/checkpoint.pt"]
    assert store.read("checkpoint_000003/checkpoint.pt") == b"1234"
    assert "checkpoints/epoch_0001.pt" not in store.list()
    mirror.download("checkpoints/latest.pt")
    assert latest.read_bytes() == b"1234"
    assert not is_placeholder(latest)


def test_a_checkpoint_of_tunes_is_deleted_with_its_directory() -> None:
    store = ObjectStore(f"memory://{uuid.uuid4().hex}/sweep")
    names = ["t/checkpoint_000001/checkpoint.pt", "t/checkpoint_000002/checkpoint.pt", "t/x.json"]
    for name in names:
        store.write(name, b"x")
    delete_objects(store, [names[0], names[2], "t/checkpoint_000003/checkpoint.pt"])
    assert list(store.list()) == [names[1]]
    directories = store.file_system.get_file_info(FileSelector(store.path_of("t")))
    assert [info.base_name for info in directories] == ["checkpoint_000002"]
