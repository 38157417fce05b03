"""One builds and the others wait; a file that is used is locked."""

from __future__ import annotations

import threading

import pytest

from trainable.data.cache.locks import building_alone, try_lock


def test_one_thread_builds_and_the_other_says_whom_it_waits_for(tmp_path):
    """Two trials of one process are like two processes."""
    lines: list[str] = []
    waits = threading.Event()
    order = []

    def report(line: str) -> None:
        lines.append(line)
        waits.set()

    def wait() -> None:
        with building_alone(tmp_path / "key", lambda: "the other", report):
            order.append("second")

    thread = threading.Thread(target=wait)
    with building_alone(tmp_path / "key", lambda: "the other", report):
        thread.start()
        waits.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert lines == ["waiting for the other"]
    assert not list(tmp_path.iterdir())


def test_what_has_failed_keeps_its_lock_for_those_who_wait(tmp_path):
    with pytest.raises(ZeroDivisionError), building_alone(tmp_path / "key", str, print):
        raise ZeroDivisionError
    assert (tmp_path / "key.lock").exists()
    with building_alone(tmp_path / "key", str, print):
        pass


def test_users_share_a_lock_that_keeps_others_out(tmp_path):
    path = tmp_path / "used"
    path.touch()
    first, second = (try_lock(path, shared=True) for _ in range(2))
    assert try_lock(path, shared=False) is None
    for use in (first, second):
        assert use is not None
        use.close()
    alone = try_lock(path, shared=False)
    assert alone is not None
    assert try_lock(path, shared=True) is None


def test_a_missing_file_cannot_be_locked(tmp_path):
    assert try_lock(tmp_path / "used", shared=True) is None
