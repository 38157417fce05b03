"""Requests and answers of a sweep in object storage."""

from __future__ import annotations

import pytest

from sweeps.storage import location, request_objects, uploader
from sweeps.storage.request_objects import RequestObjects
from sweeps.storage.sweep_mirror import SweepMirror
from sweeps.storage.uploader import background_upload, publish_answer, publish_events
from sweeps.sweep_dir.layout import MAX_REQUEST_BYTES, SweepLayout
from tests.unit.sweeps.storage.test_uploader import wait_for
from trainable.storage.object_store import ObjectStore

FIRST, SECOND, THIRD = (f"170000000000{number}-0123abcd.json" for number in range(3))


@pytest.fixture
def layout(mirror: SweepMirror) -> SweepLayout:
    return SweepLayout(mirror.directory)


@pytest.fixture
def objects(mirror: SweepMirror) -> RequestObjects:
    return RequestObjects(mirror.store, mirror.directory)


def names(layout: SweepLayout) -> list[str]:
    return sorted(path.name for path in layout.requests.glob("*"))


def test_a_request_is_deleted_only_after_the_log_and_the_answer_are_stored(
    mirror: SweepMirror, store: ObjectStore, layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "REQUEST_CHECK_INTERVAL_S", 0.01)
    deleted_with = []
    delete = mirror.store.delete

    def record(deleted: object) -> None:
        deleted_with.append((store.read("events.jsonl"), store.read(f"answers/{FIRST}")))
        delete(list(deleted))  # type: ignore[call-overload]

    monkeypatch.setattr(mirror.store, "delete", record)
    with background_upload(mirror.directory):
        store.write(f"requests/{FIRST}", b"{}")
        wait_for(lambda: names(layout) == [FIRST])
        layout.events_file.write_text("accepted\n")
        publish_events(mirror.directory)
        assert store.read("events.jsonl") == b"accepted\n"
        layout.answers.mkdir()
        (layout.answers / FIRST).write_text("yes")
        (layout.requests / FIRST).unlink()
        publish_answer(layout.answers / FIRST)
        wait_for(lambda: store.read(f"requests/{FIRST}") is None)
        assert store.read(f"answers/{FIRST}") == b"yes"
    assert deleted_with[-1] == (b"accepted\n", b"yes")
    assert names(layout) == []  # it was not downloaded again


def test_a_request_whose_answer_could_not_be_sent_is_downloaded_again(
    objects: RequestObjects, store: ObjectStore, layout: SweepLayout
) -> None:
    store.write(f"requests/{FIRST}", b"{}")
    objects.download_new()
    (layout.requests / FIRST).unlink()
    objects.download_new()
    assert names(layout) == []  # taken already
    objects.send_answer(FIRST, b"yes")
    store.write(f"requests/{FIRST}", b"{}")  # as if it had not been deleted
    objects.download_new()
    assert names(layout) == [FIRST]


def test_only_requests_are_downloaded_the_oldest_first(
    objects: RequestObjects,
    store: ObjectStore,
    layout: SweepLayout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_objects, "MAX_NEW_REQUESTS", 2)
    for name in (THIRD, SECOND, FIRST, "notes.txt", "x/" + FIRST, "17-0123abcd.json"):
        store.write(f"requests/{name}", b"{}")
    objects.download_new()
    assert names(layout) == [FIRST, SECOND]
    objects.download_new()
    assert names(layout) == [FIRST, SECOND, THIRD]


def test_a_request_that_is_too_large_is_not_downloaded_but_has_its_size(
    objects: RequestObjects, store: ObjectStore, layout: SweepLayout
) -> None:
    store.write(f"requests/{FIRST}", b" " * (MAX_REQUEST_BYTES + 1))
    objects.download_new()
    stat = (layout.requests / FIRST).stat()
    assert (stat.st_size, stat.st_blocks) == (MAX_REQUEST_BYTES + 1, 0)


def test_requests_and_answers_are_not_mirrored(
    mirror: SweepMirror, store: ObjectStore, layout: SweepLayout
) -> None:
    for name in (f"requests/{FIRST}", f"answers/{FIRST}", f"digits/answers/{FIRST}"):
        store.write(name, b"{}")
    store.write("requests/trial.json", b"{}")  # a trial, or a sweep, of this name
    mirror.pull()
    files = [path for path in mirror.directory.rglob("*") if path.is_file()]
    assert [mirror.name_of(path) for path in files] == ["requests/trial.json"]


def test_a_client_fetches_the_answer_and_can_withdraw_its_request(
    mirror: SweepMirror, store: ObjectStore, layout: SweepLayout
) -> None:
    layout.requests.mkdir()
    request, answer = layout.requests / FIRST, layout.answers / FIRST
    request.write_text("{}")
    location.upload(request)
    assert store.read(f"requests/{FIRST}") == b"{}"
    assert not location.fetch(answer)
    store.write(f"answers/{FIRST}", b"no")
    assert location.fetch(answer)
    assert answer.read_bytes() == b"no"
    location.delete(request)
    assert store.read(f"requests/{FIRST}") is None
    assert not request.exists()


def test_old_answers_are_deleted(
    objects: RequestObjects, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.sweep_dir.layout.MAX_ANSWERS", 2)
    for name in (FIRST, SECOND, THIRD):
        store.write(f"answers/{name}", b"yes")
    objects.delete_old_answers()
    assert store.list().keys() == {f"answers/{SECOND}", f"answers/{THIRD}"}
