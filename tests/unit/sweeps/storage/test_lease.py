"""A sweep in object storage has one owner; one that is not heard of any more lets go."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from sweeps.storage import lease
from sweeps.storage.lease import StoreLock
from sweeps.sweep_dir.layout import LOCK_FILE
from trainable.storage.object_store import Remote


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLED_S", 0.01)


@pytest.fixture
def remote() -> Remote:
    return Remote(f"memory://{uuid.uuid4().hex}/sweep")


def written_by(remote: Remote, **changes: object) -> None:
    """A lock as another process leaves it."""
    lock = StoreLock(remote)
    lock._write()
    held = json.loads(remote.read(LOCK_FILE) or b"")
    remote.write(LOCK_FILE, json.dumps({**held, **changes}).encode())


def test_a_lock_that_is_held_is_refused_and_let_go_in_the_end(remote: Remote) -> None:
    mine = StoreLock(remote)
    assert mine.take() is None
    with mine.renewed():
        other = StoreLock(remote).take()
        assert str(other) == f"process {os.getpid()} on {os.uname().nodename}"
    assert remote.list() == {}
    assert StoreLock(remote).take() is None


def test_the_lock_of_a_dead_process_of_this_machine_is_free(remote: Remote) -> None:
    written_by(remote, pid=2**22 + 1)
    assert StoreLock(remote).take() is None


def test_of_another_machine_nothing_is_known_until_the_lock_is_stale(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_by(remote, pid=2**22 + 1, machine="another", host="far")
    assert str(StoreLock(remote).take()) == f"process {2**22 + 1} on far"
    monkeypatch.setattr(lease, "STALE_S", 0.0)
    assert StoreLock(remote).take() is None


def test_of_two_that_take_it_at_once_the_later_has_it(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = StoreLock(remote)
    monkeypatch.setattr(time, "sleep", lambda seconds: written_by(remote, token="later"))
    holder = first.take()
    assert holder is not None
    assert holder.token == "later"


def test_who_has_lost_the_lock_pauses(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "RENEWED_S", 0.01)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *words: sent.append(words))
    mine = StoreLock(remote)
    assert mine.take() is None
    with mine.renewed():
        written_by(remote, token="another")
        deadline = time.monotonic() + 20
        while not sent and time.monotonic() < deadline:
            time.sleep(0.01)
    assert sent == [(os.getpid(), signal.SIGINT)]
    assert remote.read(LOCK_FILE) is not None  # it is the other one's


def test_a_lock_that_is_no_lock_is_somebodys(remote: Remote) -> None:
    remote.write(LOCK_FILE, b"{broken")
    assert "an unknown machine" in str(StoreLock(remote).take())


def test_the_machine_is_told_by_its_start_and_its_processes(tmp_path: Path) -> None:
    boot, processes = lease._machine().split()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert processes.startswith("pid:")
