"""The file system of a directory, as it is and without some operations."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.doctor import place
from sweeps.doctor.place import check_place, file_system

Usage = namedtuple("Usage", ["total", "used", "free"])
GIB = 2**30


def test_a_directory_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 10 * GIB, 90 * GIB))
    checks = list(check_place(tmp_path / "not" / "there"))
    assert [(check.name, check.state) for check in checks] == [
        ("disk", "ok"),
        ("file system", "ok"),
    ]
    assert checks[0].found == f"{tmp_path} has 90.0 GiB free of 100.0 GiB"
    assert list(tmp_path.iterdir()) == []


def refuse(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize(
    ("module", "name", "state", "text"),
    [
        (fcntl, "flock", "problem", "files cannot be locked (Operation not permitted)"),
        (os, "link", "warning", "no hard links (Operation not permitted)"),
        (Path, "replace", "problem", "files cannot be renamed"),
        (place, "fsync", "problem", "directories cannot be flushed"),
    ],
)
def test_an_operation_that_fails_is_named(
    module: Any,
    name: str,
    state: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, name, refuse)
    failed = [check for check in check_place(tmp_path) if check.name == "file system"]
    assert [check.state for check in failed] == [state]
    assert failed[0].found.startswith(text)
    assert failed[0].remedy is not None


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    *_, last = check_place(tmp_path)
    assert (last.state, last.found) == (
        "problem",
        f"{tmp_path} cannot be written: Operation not permitted",
    )


@pytest.mark.parametrize(
    ("free", "state"), [(90 * GIB, "ok"), (4 * GIB, "warning"), (2**28, "problem")]
)
def test_a_full_disk(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: Usage(100 * GIB, 100 * GIB - free, free)
    )
    assert next(check_place(tmp_path)).state == state


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/export /mnt/my\\040disk nfs4 rw,vers=4.2 0 0
tmpfs /mnt/my\\040disk/scratch tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "ext4"),
        ("/mnt/my disk/sweeps", "nfs4"),
        ("/mnt/my disk/scratch/a", "tmpfs"),
        ("/mnt/my disks", "ext4"),
    ],
)
def test_the_type_of_a_file_system(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert file_system(Path(path), "") == ""


def test_a_network_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_nfs: Callable[[Path], str] = lambda path: "nfs4"  # noqa: E731
    monkeypatch.setattr(place, "file_system", on_nfs)
    *_, last = check_place(tmp_path)
    assert last.state == "warning"
    assert "is on a network disk (nfs4)" in last.found


def test_a_directory_that_cannot_exist_is_a_problem(tmp_path: Path) -> None:
    (check,) = check_place(tmp_path / ("x" * 300))
    assert (check.name, check.state) == ("file system", "problem")
    assert check.found.endswith("cannot be used: File name too long")
