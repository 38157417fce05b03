"""Files are replaced atomically: after a failure or kill, each is the old or the new one."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.support.small_disks import largest_file
from trainable.atomic_files import (
    add_name,
    append_whole,
    remove_temporaries,
    write_once,
    write_text,
)

OLD, NEW = b"old" * 1000, b"new" * 2000
NAMES = ("epoch_0010.pt", "best.pt", "latest.pt")
FILE_SYSTEM = [
    (os, "fsync"), (os, "link"), (os, "open"), (Path, "open"), (Path, "replace"), (Path, "unlink"),
    (shutil, "copyfile"),
]  # fmt: skip
"""Every disk operation of `trainable.atomic_files`, except for the writing itself."""


class Killed(BaseException):
    """Simulates the end of the process."""


class Steps:
    """Counts the steps of the code under test and lets one of them fail.

    A failure is one `OSError`, after which the process goes on. After a kill nothing else is
    done either: every later step is refused too, clean-up included.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.killed = False

    def take(self, name: str) -> None:
        self.calls.append(name)
        number = len(self.calls) - 1
        if self.killed and self.fail_at is not None and number >= self.fail_at:
            raise Killed
        if number == self.fail_at:
            raise OSError(errno.EIO, "input/output error")

    def patched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self.take(name)
            return real(*args, **kwargs)

        return step

    def write_new(self, file: BinaryIO) -> None:
        half = len(NEW) // 2
        self.take("write")
        file.write(NEW[:half])
        file.flush()
        self.take("write")
        file.write(NEW[half:])


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    for owner, name in FILE_SYSTEM:
        monkeypatch.setattr(owner, name, steps.patched(name, getattr(owner, name)))
    return steps


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read()


def number_of_steps(directory: Path) -> int:
    """Counts the steps of one undisturbed write of three names."""
    directory.mkdir()
    counting = Steps()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in FILE_SYSTEM:
            patch.setattr(owner, name, counting.patched(name, getattr(owner, name)))
        write_once([directory / name for name in NAMES], counting.write_new)
    return len(counting.calls)


def assert_disturbed_write_is_whole(directory: Path, fail_at: int, killed: bool) -> None:
    """Disturbs one step of a write and checks the files afterwards."""
    directory.mkdir()
    for name in NAMES:
        (directory / name).write_bytes(OLD)
    steps = Steps()
    steps.fail_at, steps.killed = fail_at, killed
    failed = False
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in FILE_SYSTEM:
            patch.setattr(owner, name, steps.patched(name, getattr(owner, name)))
        try:
            write_once([directory / name for name in NAMES], steps.write_new)
        except (Killed, OSError):
            failed = True
    what = f"step {fail_at}, {steps.calls[fail_at]}"
    contents = [content(directory / name) for name in NAMES]
    assert set(contents) <= {OLD, NEW}, what
    # Replaced in the order given: no name is new before those that come earlier.
    assert contents == sorted(contents, key=[NEW, OLD].index), what
    assert failed or contents == [NEW] * 3, what
    if killed:
        remove_temporaries(directory)
    elif steps.calls[fail_at] == "unlink":
        return  # the clean-up is what failed
    assert sorted(p.name for p in directory.iterdir()) == sorted(NAMES), what


@pytest.mark.parametrize("killed", [False, True], ids=["failure", "kill"])
def test_every_file_is_old_or_new_whichever_step_is_disturbed(
    tmp_path: Path, killed: bool
) -> None:
    count = number_of_steps(tmp_path / "counting")
    assert count > 10
    for fail_at in range(count):
        assert_disturbed_write_is_whole(tmp_path / f"{fail_at}", fail_at, killed)


@pytest.mark.parametrize("killed", [False, True], ids=["failure", "kill"])
def test_every_file_is_old_or_new_without_hard_links(
    tmp_path: Path, no_links: None, killed: bool
) -> None:
    count = number_of_steps(tmp_path / "counting")
    assert count > 10
    for fail_at in range(count):
        assert_disturbed_write_is_whole(tmp_path / f"{fail_at}", fail_at, killed)


def test_a_failed_write_replaces_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    path.write_bytes(OLD)

    def write(file: BinaryIO) -> None:
        file.write(NEW[:10])
        raise ValueError("cannot be serialised")

    with pytest.raises(ValueError, match="cannot be serialised"):
        write_once([path], write)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_all_names_are_links_to_one_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in NAMES]
    calls = []
    write_once(paths, lambda file: (calls.append(1), file.write(NEW)))
    assert len(calls) == 1
    assert len({path.stat().st_ino for path in paths}) == 1
    assert paths[0].stat().st_nlink == 3


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    write_once([path], lambda file: file.write(OLD))
    with path.open("rb") as reader:
        write_once([path], lambda file: file.write(NEW))
        assert reader.read() == OLD
    assert path.read_bytes() == NEW


def test_names_are_copies_where_links_fail(tmp_path: Path, no_links: None) -> None:
    paths = [tmp_path / name for name in NAMES]
    write_once(paths, lambda file: file.write(NEW))
    assert [path.read_bytes() for path in paths] == [NEW] * 3
    assert {path.stat().st_nlink for path in paths} == {1}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
def test_a_file_is_on_disk_before_it_gets_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, request: pytest.FixtureRequest
) -> None:
    """After a power cut behind the rename, the file is complete and not empty."""
    if not links:
        request.getfixturevalue("no_links")
    synced: set[int] = set()
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def watched_replace(self: Path, target: Path) -> Path:
        assert self.stat().st_ino in synced
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_once([tmp_path / name for name in NAMES], lambda file: file.write(NEW))
    write_text(tmp_path / "config.yaml", "seed: {}\n")
    assert tmp_path.stat().st_ino in synced


def test_an_added_name_is_a_link_and_replaces_another_file(tmp_path: Path) -> None:
    source, name = tmp_path / "latest.pt", tmp_path / "elsewhere" / "checkpoint.pt"
    name.parent.mkdir()
    source.write_bytes(NEW)
    name.write_bytes(OLD)
    add_name(source, name)
    assert name.samefile(source)


def test_adding_a_name_that_a_file_already_has_changes_nothing(
    tmp_path: Path, steps: Steps
) -> None:
    source, name = tmp_path / "latest.pt", tmp_path / "checkpoint.pt"
    source.write_bytes(NEW)
    name.hardlink_to(source)
    steps.calls.clear()
    add_name(source, name)
    assert not {"link", "replace", "copyfile"} & set(steps.calls)
    assert source.read_bytes() == NEW


def test_an_added_name_is_a_copy_where_links_fail(tmp_path: Path, no_links: None) -> None:
    source, name = tmp_path / "latest.pt", tmp_path / "checkpoint.pt"
    source.write_bytes(NEW)
    add_name(source, name)
    assert name.read_bytes() == NEW
    assert not name.samefile(source)


@pytest.mark.parametrize("killed", [False, True], ids=["failure", "kill"])
def test_text_is_old_or_new_whichever_step_is_disturbed(
    tmp_path: Path, steps: Steps, killed: bool
) -> None:
    write_text(tmp_path / "config.yaml", "old")
    count = len(steps.calls)
    for fail_at in range(count):
        path = tmp_path / f"{fail_at}.yaml"
        steps.fail_at = None
        write_text(path, "old")
        steps.calls, steps.fail_at, steps.killed = [], fail_at, killed
        with pytest.raises((Killed, OSError)):
            write_text(path, "new")
        steps.fail_at = None
        assert path.read_text() in {"old", "new"}


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "config.yaml", "name: größe\n")
    assert (tmp_path / "config.yaml").read_bytes() == "name: größe\n".encode()


def test_only_temporaries_are_removed(tmp_path: Path) -> None:
    kept = {"latest.pt", "notes.tmp", ".hidden"}
    for name in (*kept, ".latest.pt.0123456789ab.tmp"):
        (tmp_path / name).write_bytes(b"")
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_cannot_be_appended_whole_leaves_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    with path.open("ab", buffering=0) as file:
        with largest_file(8), pytest.raises(OSError, match="too large"):
            append_whole(file, b" second")
        assert path.read_bytes() == b"first"
        append_whole(file, b" third")
    assert path.read_bytes() == b"first third"
