"""What is new goes into the image, each content once."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from trainable.storage.mirror import OF_A_TRAINING, OF_TUNE, Mirror, is_stand_in
from trainable.storage.object_store import Remote


class Counting:
    """A remote that notes what it is asked to write."""

    def __init__(self, inner: Remote) -> None:
        self._inner = inner
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in {"upload", "copy"}:
            return found

        def call(source: Any, target: str) -> None:
            self.calls.append(f"{name} {target}")
            found(source, target)

        return call


@pytest.fixture
def remote() -> Any:
    return Counting(Remote(f"memory://{uuid.uuid4().hex}/trial"))


@pytest.fixture
def mirror(tmp_path: Path, remote: Any) -> Mirror:
    return Mirror(tmp_path, remote, OF_A_TRAINING, kept=[OF_TUNE])


def save(directory: Path, content: bytes, *names: str) -> None:
    """One file of several names, as a checkpoint is."""
    (directory / "checkpoints").mkdir(exist_ok=True)
    first = directory / "checkpoints" / f".{uuid.uuid4().hex}.tmp"
    first.write_bytes(content)
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).unlink(missing_ok=True)
        os.link(first, directory / name)


def test_names_of_one_file_are_sent_once_and_the_latest_comes_last(
    tmp_path: Path, remote: Any, mirror: Mirror
) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "trial.json").write_text("the driver's")
    names = [f"checkpoints/{name}.pt" for name in ("latest", "epoch_0002", "best")]
    save(tmp_path, b"weights", *names)
    mirror.push()
    assert remote.calls == [
        "upload metrics.jsonl",
        "upload checkpoints/best.pt",
        "copy checkpoints/epoch_0002.pt",
        "copy checkpoints/latest.pt",
    ]
    (tmp_path / "checkpoint_000001").mkdir()
    os.link(tmp_path / names[0], tmp_path / "checkpoint_000001/checkpoint.pt")
    remote.calls.clear()
    mirror.push()
    assert remote.calls == ["copy checkpoint_000001/checkpoint.pt"]
    assert {remote.read(name) for name in [*names, "checkpoint_000001/checkpoint.pt"]} == {
        b"weights"
    }
    remote.calls.clear()
    mirror.push()
    assert remote.calls == []


def test_what_goes_here_goes_there_but_for_what_is_kept(
    tmp_path: Path, remote: Any, mirror: Mirror
) -> None:
    save(tmp_path, b"1", "checkpoints/epoch_0001.pt", "checkpoint_000000/checkpoint.pt")
    mirror.push()
    remote.write("trial.json", b"{}")
    for path in tmp_path.glob("checkpoint*/*.pt"):
        path.unlink()
    mirror.push()
    assert remote.list().keys() == {"checkpoint_000000/checkpoint.pt", "trial.json"}


def test_what_was_pulled_is_not_sent_again_and_stands_for_its_content(
    tmp_path: Path, remote: Any, mirror: Mirror
) -> None:
    for name in ("metrics.jsonl", "checkpoints/epoch_0001.pt", "checkpoints/latest.pt"):
        remote.write(name, b"1234")
    mirror.pull(remote.list())
    latest = tmp_path / "checkpoints" / "latest.pt"
    assert is_stand_in(latest)
    assert latest.stat().st_size == 4
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"1234"
    (tmp_path / "checkpoint_000003").mkdir()
    os.link(latest, tmp_path / "checkpoint_000003" / "checkpoint.pt")
    (tmp_path / "checkpoints" / "epoch_0001.pt").unlink()
    mirror.push()
    assert remote.calls == ["copy checkpoint_000003/checkpoint.pt"]
    assert remote.read("checkpoint_000003/checkpoint.pt") == b"1234"
    assert "checkpoints/epoch_0001.pt" not in remote.list()
    mirror.bring("checkpoints/latest.pt")
    assert latest.read_bytes() == b"1234"
    assert not is_stand_in(latest)
