"""A sweep in an in-memory store, and its local mirror."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from sweeps.storage import location
from sweeps.storage.sweep_mirror import SweepMirror
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
