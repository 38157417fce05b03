"""The lease on a sweep in object storage: one holder, renewed, free when it has expired."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from sweeps.storage import lease
from sweeps.storage.lease import Lease
from sweeps.sweep_dir.layout import LOCK_FILE
from trainable.storage import object_store
from trainable.storage.object_store import ObjectStore


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "CLAIM_SETTLE_S", 0.01)


def write_other_lease(store: ObjectStore, **changes: object) -> None:
    """Writes the lease of another process."""
    holder = json.loads(Lease(store)._content())
    store.write(LOCK_FILE, json.dumps({**holder, **changes}).encode())


def test_a_lease_that_is_held_is_refused_and_released_at_the_end(store: ObjectStore) -> None:
    mine = Lease(store)
    assert mine.acquire() is None
    with mine.renewed():
        other = Lease(store).acquire()
        assert str(other) == f"process {os.getpid()} on {os.uname().nodename}"
    assert store.list() == {}
    assert Lease(store).acquire() is None


def test_the_lease_of_a_dead_process_on_this_machine_is_free(store: ObjectStore) -> None:
    write_other_lease(store, pid=2**22 + 1)
    assert Lease(store).acquire() is None


def test_the_lease_of_another_machine_is_held_until_it_expires(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_other_lease(store, pid=2**22 + 1, machine="another", host="far")
    assert str(Lease(store).acquire()) == f"process {2**22 + 1} on far"
    monkeypatch.setattr(lease, "EXPIRY_S", 0.0)
    assert Lease(store).acquire() is None


def test_the_later_of_two_concurrent_processes_gets_the_lease(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Lease(store)
    monkeypatch.setattr(time, "sleep", lambda seconds: write_other_lease(store, token="later"))
    holder = first.acquire()
    assert holder is not None
    assert holder.token == "later"


def test_a_process_that_has_lost_the_lease_pauses(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "RENEWAL_INTERVAL_S", 0.01)
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *args: signals.append(args))
    mine = Lease(store)
    assert mine.acquire() is None
    with mine.renewed():
        write_other_lease(store, token="another")
        deadline = time.monotonic() + 20
        while not signals and time.monotonic() < deadline:
            time.sleep(0.01)
    assert signals == [(os.getpid(), signal.SIGINT)]
    assert store.read(LOCK_FILE) is not None  # the other process's


def test_an_unreadable_lease_counts_as_held(store: ObjectStore) -> None:
    store.write(LOCK_FILE, b"{broken")
    assert "an unknown machine" in str(Lease(store).acquire())


def test_a_machine_is_identified_by_its_boot_and_its_process_namespace() -> None:
    boot, processes = lease._machine().split()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert processes.startswith("pid:")
