"""Scratch directories: held by processes, deleted when no process uses them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainable.errors import StorageError
from trainable.storage import scratch

HOLD = """
import sys, time
from pathlib import Path
from trainable.storage import scratch
scratch.hold(Path(sys.argv[1]))
print("holding", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_scratch_directory_is_deleted_when_it_is_released() -> None:
    directory = scratch.create()
    assert scratch.has_driver_files(directory)
    (directory / "file").touch()
    scratch.release(directory)
    assert not directory.exists()


def test_a_scratch_directory_stays_while_another_process_uses_it(
    project_environment: dict[str, str],
) -> None:
    directory = scratch.create()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)],
        env=project_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "holding\n"
        scratch.release(directory)
        assert directory.exists()
    finally:
        process.kill()
        process.communicate()
    other = scratch.create()  # deletes what the killed process has left
    assert not directory.exists()
    scratch.release(other)


def test_a_directory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    base = scratch.create().parent
    monkeypatch.setattr(scratch.os, "getuid", lambda: base.stat().st_uid + 1)
    with pytest.raises(StorageError, match="belongs to another user"):
        scratch.hold(base / "run")
