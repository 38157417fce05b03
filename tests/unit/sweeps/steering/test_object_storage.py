"""Requests to a sweep in object storage, here in memory: what the client writes and waits for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.steering import client
from sweeps.steering.client import send, submit, wait_for
from sweeps.steering.request import Answer, write_answer
from sweeps.storage import location
from sweeps.storage.lease import Lease
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal import console
from tests.support.fake_sweeps import FakeSweep
from trainable.storage.object_store import ObjectStore

RUNNING = "0011aaaa"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A sweep with a running trial, whose files are in the store."""
    monkeypatch.setattr(console, "_uris", {})
    monkeypatch.setattr(location, "_mirrors", {})
    monkeypatch.setattr(client, "REMOTE_POLL_S", 0.01)
    directory = FakeSweep(tmp_path / "digits", state="running", states={11: "running"}).write()
    store = ObjectStore(f"memory://{uuid.uuid4().hex}/experiments/digits")
    for path in directory.rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(directory).as_posix())
    yield store
    location._close_mirrors()


def test_a_client_waits_for_the_answer_of_a_driver_elsewhere(
    store: ObjectStore, tmp_path: Path
) -> None:
    directory = location.resolve(store.uri)
    lease = Lease(store)
    assert lease.acquire() is None
    with lease.renewed():
        request = submit(directory, "stop", RUNNING[:4])
        name = f"{request.id}.json"
        sent = json.loads(store.read(f"requests/{name}") or b"")
        assert (sent["verb"], sent["trial"]) == ("stop", RUNNING)
        with pytest.raises(SweepError, match="no answer within"):
            wait_for(directory, request, timeout_s=0.05)
        assert store.read(f"requests/{name}") is None
        driver = SweepLayout(tmp_path / "driver")
        driver.directory.mkdir()
        write_answer(driver.directory, Answer(request.id, "accepted", None, RUNNING))
        store.upload(driver.answers / name, f"answers/{name}")
        assert wait_for(directory, request, timeout_s=30).trial == RUNNING


def test_without_a_driver_the_client_answers_and_stores_the_log_first(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write, delete = ObjectStore.write, ObjectStore.delete

    def record_write(self: ObjectStore, name: str, data: bytes) -> None:
        order.append(f"write {name.partition('/')[0]}")
        write(self, name, data)

    def record_delete(self: ObjectStore, names: object) -> None:
        deleted = list(names)  # type: ignore[call-overload]
        order.extend(f"delete {name.partition('/')[0]}" for name in deleted)
        delete(self, deleted)

    monkeypatch.setattr(ObjectStore, "write", record_write)
    monkeypatch.setattr(ObjectStore, "delete", record_delete)
    answer = send(location.resolve(store.uri), "stop", RUNNING)
    assert answer is not None
    assert answer.state == "accepted"
    objects = store.list()
    assert f"answers/{answer.id}.json" in objects
    assert not [name for name in objects if name.startswith(("requests/", ".lock"))]
    events = [json.loads(line) for line in (store.read("events.jsonl") or b"").splitlines()]
    assert [e["request"]["id"] for e in events if e["kind"] == "request"] == [answer.id]
    steps = ["write events.jsonl", "write answers", "delete requests"]
    assert [order.index(step) for step in steps] == sorted(order.index(step) for step in steps)
    (record,) = (
        json.loads(store.read(name) or b"")
        for name in objects
        if name.endswith(f"{RUNNING}/trial.json")
    )
    assert record["state"] == "stopped"
