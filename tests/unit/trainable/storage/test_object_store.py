"""Object storage: URIs, and calls that are retried."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from trainable.errors import StorageError
from trainable.storage import object_store
from trainable.storage.object_store import ObjectStore
from trainable.uri import child_uri, parent_uri


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}/sweeps", retry_s=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "FIRST_WAIT_S", 0.001)


class Failing:
    """A file system whose first calls fail."""

    def __init__(self, inner: Any, times: int, error: Exception) -> None:
        self._inner, self.left, self._error = inner, times, error

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **keywords: Any) -> Any:
            if self.left:
                self.left -= 1
                raise self._error
            return attribute(*args, **keywords)

        return call


def test_objects_are_written_listed_read_copied_and_deleted(
    store: ObjectStore, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"content")
    store.upload(file, "one/a.txt")
    store.copy("one/a.txt", "two/deep/b.txt")
    store.write("c.txt", b"")
    listed = store.list()
    assert {name: info.size for name, info in listed.items()} == {
        "one/a.txt": 7,
        "two/deep/b.txt": 7,
        "c.txt": 0,
    }
    assert store.child("two").list().keys() == {"deep/b.txt"}
    assert store.read("two/deep/b.txt") == b"content"
    store.child("two").download("deep/b.txt", tmp_path / "new" / "b.txt")
    assert (tmp_path / "new" / "b.txt").read_bytes() == b"content"
    store.delete(["one/a.txt", "c.txt", "never/there"])
    assert store.list().keys() == {"two/deep/b.txt"}
    assert (store.read("c.txt"), store.stat("c.txt")) == (None, None)


def test_a_missing_object_is_an_error_and_leaves_no_file(
    store: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"sweeps/x\.pt: there is no such object"):
        store.download("x.pt", tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []
    assert store.list() == {}


def test_calls_are_retried_while_the_connection_is_cut(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(store._fs, 4, OSError("NETWORK_CONNECTION"))
    monkeypatch.setattr(store, "_fs", failing)
    store.write("a.txt", b"through")
    assert failing.left == 0
    assert store.read("a.txt") == b"through"


def test_a_permanent_error_is_not_retried(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(store._fs, 100, OSError("AWS Error ACCESS_DENIED during PutObject"))
    monkeypatch.setattr(store, "_fs", failing)
    with pytest.raises(StorageError, match=r"sweeps/a.txt: cannot be written: .*ACCESS_DENIED"):
        store.write("a.txt", b"")
    assert failing.left == 99


def test_retries_end_after_a_time(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "retry_s", 0.0)
    monkeypatch.setattr(store, "_fs", Failing(store._fs, 9, OSError("no route to host")))
    with pytest.raises(StorageError, match="cannot be listed: no route to host"):
        store.list()


def test_the_later_of_two_concurrent_claims_wins(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "CLAIM_SETTLE_S", 0.0)
    assert store.claim(".claim", b"first")
    monkeypatch.setattr(object_store.time, "sleep", lambda _: store.write(".claim", b"later"))
    assert not store.claim(".claim", b"second")
    assert store.read(".claim") == b"later"


def test_names_may_contain_characters_that_uris_cannot(store: ObjectStore) -> None:
    store.child("my sweep [1]").write("a%b.txt", b"odd")
    assert ObjectStore(store.child("my sweep [1]").uri).read("a%b.txt") == b"odd"
    assert store.list().keys() == {"my sweep [1]/a%b.txt"}
    uri = child_uri("s3://b/p?x=1", "my sweep [1]")
    assert uri == "s3://b/p/my%20sweep%20%5B1%5D?x=1"
    assert parent_uri(uri) == ("s3://b/p?x=1", "my sweep [1]")
