"""The desk of a sweep in object storage, and the thread that brings its files there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.storage import location, uploader
from sweeps.storage.sweep_mirror import Desk
from sweeps.storage.uploader import keeper_of, kept
from trainable.storage.mirror import is_stand_in
from trainable.storage.object_store import Remote


@pytest.fixture
def remote() -> Remote:
    return Remote(f"memory://{uuid.uuid4().hex}/sweep")


@pytest.fixture
def desk(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(location, "_desks", {})
    found = location.desk_of(location.local(remote.uri))
    assert found is not None
    yield found
    found.close()


def write(desk: Desk, name: str, text: str = "1") -> Path:
    path = desk.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def names(changed: list[dict[str, Any]]) -> list[set[str]]:
    return [set(contents) for contents in changed]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_new_trial_is_recorded_before_what_is_said_of_it_and_its_end_after(desk: Desk) -> None:
    write(desk, "old/trial.json")
    desk.send(desk.changed())
    write(desk, "old/trial.json", "ended")
    write(desk, "new/trial.json")
    write(desk, "events.jsonl")
    write(desk, "tuner.pkl")
    changed = desk.changed()
    assert names(changed) == [{"new/trial.json"}, {"events.jsonl"}, {"old/trial.json"}]
    desk.send(changed)
    assert desk.changed() == []
    assert desk.remote.list().keys() == {"new/trial.json", "events.jsonl", "old/trial.json"}


def test_a_record_is_in_the_store_before_a_worker_has_its_trial(desk: Desk) -> None:
    write(desk, "new/trial.json", "here")
    desk.hand_over("new")
    assert desk.remote.read("new/trial.json") == b"here"


def test_what_a_worker_has_left_is_collected_and_its_end_is_noted(desk: Desk) -> None:
    desk.hand_over(write(desk, "trial/trial.json", "driver").parent.name)
    desk.remote.write("trial/trial.json", b"an older one")
    desk.remote.write("trial/metrics.jsonl", b"{}\n")
    desk.remote.write("trial/tensorboard/events", b"curve")
    desk.remote.write("trial/checkpoints/best.pt", b"weights")
    desk.collect("trial")
    trial = desk.directory / "trial"
    assert (trial / "trial.json").read_text() == "driver"
    assert (trial / "metrics.jsonl").read_text() == "{}\n"
    best = trial / "checkpoints" / "best.pt"
    assert is_stand_in(best)
    assert location.bring(best).read_bytes() == b"weights"
    location.let_go(trial)
    assert is_stand_in(best)
    write(desk, "trial/tensorboard/events", "curve, ended")
    desk.collect_all()
    assert (trial / "tensorboard" / "events").read_text() == "curve, ended"
    assert names(desk.changed()) == [{"trial/tensorboard/events"}]


def test_files_of_a_trial_that_a_worker_has_are_left_to_it(desk: Desk) -> None:
    write(desk, "trial/trial.json")
    write(desk, "trial/metrics.jsonl")
    desk.hand_over("trial")
    assert desk.changed() == []


def test_a_checkpoint_is_begun_from_without_being_fetched(desk: Desk, remote: Remote) -> None:
    for name in ("checkpoints/latest.pt", "checkpoint_000007/checkpoint.pt"):
        remote.write(f"trial/{name}", b"weights")
    desk.pull()
    trial = desk.directory / "trial"
    target = trial / "checkpoint_000000" / "checkpoint.pt"
    location.begin_from(trial / "checkpoints" / "latest.pt", target)
    assert remote.list().keys() == {
        "trial/checkpoints/latest.pt",
        "trial/checkpoint_000000/checkpoint.pt",
    }
    assert is_stand_in(trial / "checkpoints" / "latest.pt")


def test_changes_go_to_the_store_while_a_sweep_runs_and_all_of_them_in_the_end(
    desk: Desk, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "LOOKED_S", 0.01)
    remote.write("stop", b"asked of one who is dead")
    write(desk, "sweep.json", "1")
    with kept(desk.directory):
        keeper = keeper_of(desk.directory)
        assert keeper is not None
        assert remote.read("sweep.json") == b"1"
        assert "stop" not in remote.list()
        write(desk, "sweep.json", "22")
        keeper.tick()
        wait_for(lambda: remote.read("sweep.json") == b"22")
        remote.write("stop", b"")
        wait_for(lambda: (desk.directory / "stop").exists())
        assert "stop" not in remote.list()
        write(desk, "sweep.json", "333")
    assert remote.read("sweep.json") == b"333"
    assert keeper_of(desk.directory) is None
