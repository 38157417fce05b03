"""One process decodes the images; all others have its cache, whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.decoded_caches import (
    COUNT,
    entries,
    listed,
    open_in_process,
    parts,
    plain_user,
    read_pixels,
    settings,
    wait_for_progress,
    write_images,
)
from tests.support.small_disks import small_disk
from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.settings import FOLDER
from trainable.data.cache.store import find_shortage, open_decoded
from trainable.errors import DataError, DiskFullError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")
PIPE = 101
"""Number of a file that is not among those whose size is sampled."""
DONE = 96
"""Files that one thread has decoded when it is stopped by that file."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


def replace_by_pipe(root: Path) -> tuple[Path, bytes]:
    """Makes one file a pipe, at which a builder waits; returns it and what it is to contain."""
    path = root / f"{PIPE}.png"
    data = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return path, data


def test_the_first_training_decodes_and_the_second_reuses(root):
    images = listed(root)
    first = open_decoded(images, settings(root))
    (entry,) = entries(root / FOLDER)
    assert first.notices[0].startswith(f"decoded {COUNT} images in ")
    assert first.notices[0].endswith(f" s into {entry} (0.0 MiB)")
    assert first.pixels.shape == (COUNT, 8, 10, 3)
    assert np.array_equal(first.read(range(COUNT)), read_pixels(images))
    second = open_decoded(images[::-1], settings(root))
    assert second.notices == (f"reused {COUNT} decoded images of {entry} (0.0 MiB)",)
    assert np.array_equal(second.read(range(COUNT)), read_pixels(images)[::-1])
    assert not parts(root / FOLDER)


def test_a_builder_that_is_killed_is_replaced_and_leaves_one_whole_cache(root):
    """The first of three dies by -9 in the middle; the second takes over."""
    pipe, data = replace_by_pipe(root)
    reports: list[list[str]] = [[], []]
    said = threading.Semaphore(0)

    def open_and_report(lines: list[str]) -> DecodedImages:
        def report(line: str) -> None:
            lines.append(line)
            said.release()

        return open_decoded(listed(root), settings(root), report)

    builder = open_in_process(root)
    with ThreadPoolExecutor(2) as pool:
        try:
            wait_for_progress(root / FOLDER, DONE)
            others = [pool.submit(open_and_report, lines) for lines in reports]
            assert all(said.acquire(timeout=60) for _ in others)
            name = f"process {builder.pid} on {socket.gethostname()}"
            line = f"waiting for {name}, which has decoded 48 % of the images of {root}"
            assert reports == [[line], [line]]
        finally:
            builder.send_signal(signal.SIGKILL)
            builder.wait()
            pipe.write_bytes(data)  # blocks until another one has come to this file
        opened = [other.result(60) for other in others]
    assert len(entries(root / FOLDER)) == 1
    assert not parts(root / FOLDER)
    first_words = sorted(decoded.notices[0].split()[0] for decoded in opened)
    assert first_words == ["decoded", "reused"]
    pipe.unlink()
    pipe.write_bytes(data)
    expected = read_pixels(listed(root))
    assert all(np.array_equal(decoded.read(range(COUNT)), expected) for decoded in opened)


def test_ctrl_c_leaves_nothing(root):
    pipe, data = replace_by_pipe(root)

    def interrupt() -> None:
        wait_for_progress(root / FOLDER, DONE)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        pipe.write_bytes(data)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        open_decoded(listed(root), settings(root))
    thread.join()
    assert not entries(root / FOLDER)
    assert not parts(root / FOLDER)


def test_without_locks_two_builders_end_with_one_cache(root):
    images = listed(root)
    folder = root / FOLDER
    probe = open_decoded(images, settings(root, directory=root.parent / "other"))
    (folder / f"{probe.directory.name}.lock").mkdir(parents=True)  # cannot be locked
    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(lambda _: open_decoded(images, settings(root)), range(2)))
    (entry,) = entries(folder)
    for decoded in opened:
        assert decoded.directory == entry
        assert np.array_equal(decoded.read(range(COUNT)), read_pixels(images))
    assert not parts(folder)


@AS_ROOT
@pytest.mark.parametrize("is_allocated", [True, False])
def test_a_full_disk_is_one_error_that_says_what_to_do(root, monkeypatch, is_allocated):
    """The files whose size is sampled are smaller than the others, so the disk is really full."""
    for image in listed(root)[1::2]:
        Image.new("RGB", (64, 64)).save(image.path)
    if not is_allocated:  # as on systems that cannot take space before they write
        monkeypatch.delattr(os, "posix_fallocate")
    with small_disk(root.parent / "disk", 1) as disk:
        with pytest.raises(DiskFullError) as caught:
            open_decoded(listed(root), settings(root, directory=disk, side=64))
        assert not entries(disk / FOLDER)
        assert not parts(disk / FOLDER)
    assert str(caught.value) == (
        f"the decoded images of {root} need 2.3 MiB on a disk ({disk / FOLDER}: no space left on "
        "the disk, 1.0 MiB are free); set dataset.cache_dir to a directory with room, or "
        "dataset.cache: false to decode every file in every epoch"
    )


@AS_ROOT
def test_a_disk_without_room_is_refused_before_anything_is_written(root):
    for image in listed(root):
        Image.new("RGB", (64, 64)).save(image.path)
    with small_disk(root.parent / "disk", 1) as disk:
        chosen = settings(root, directory=disk, side=64)
        with pytest.raises(DiskFullError, match=r"need 2\.8 MiB on a disk .*1\.0 MiB are free"):
            open_decoded(listed(root), chosen)
        shortage = find_shortage(listed(root), chosen)
        assert shortage is not None
        assert "1.0 MiB are free" in shortage
        assert not list(disk.iterdir())
    assert find_shortage(listed(root), settings(root, side=64)) is None


@AS_ROOT
@pytest.mark.parametrize("option", ["rw", "ro"])
def test_where_root_has_no_room_or_is_read_only_the_home_directory_is_taken(tmp_path, option):
    with small_disk(tmp_path / "disk", 5) as disk:
        root = write_images(disk / "data", size=(64, 64))
        subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)
        images = listed(root)
        assert find_shortage(images, settings(root, side=64)) is None
        for verb in ("decoded", "reused"):
            decoded = open_decoded(images, settings(root, side=64))
            assert decoded.notices[0].startswith(verb)
            assert decoded.directory.parent == tmp_path / "home" / "tune-sweeps" / "decoded"
        assert np.array_equal(decoded.read([3]), read_pixels(images[3:4]))


def make_accessible(root: Path) -> None:
    """Lets all users read a data set, and gives them a home directory."""
    for folder in root.parents:
        if "pytest" in str(folder):
            folder.chmod(0o755)
    (root.parent / "home").mkdir()
    (root.parent / "home").chmod(0o777)


@AS_ROOT
def test_a_user_reads_the_cache_of_another_and_builds_elsewhere(root):
    """The second user may read the data set, but not write to it."""
    first = open_decoded(listed(root), settings(root))
    make_accessible(root)
    with plain_user():
        second = open_decoded(listed(root), settings(root))
        third = open_decoded(listed(root), settings(root, side=8))
    assert second.directory == first.directory
    assert second.notices[0].startswith("reused")
    assert third.directory.parent == root.parent / "home" / "tune-sweeps" / "decoded"
    assert third.pixels.shape == (COUNT, 8, 8, 3)


@AS_ROOT
def test_a_folder_that_is_private_to_another_user_is_not_used(root):
    first = open_decoded(listed(root), settings(root))
    first.directory.parent.chmod(0o700)
    make_accessible(root)
    with plain_user():
        assert find_shortage(listed(root), settings(root)) is None
        second = open_decoded(listed(root), settings(root))
    assert second.directory.parent == root.parent / "home" / "tune-sweeps" / "decoded"


def test_a_cache_dir_that_cannot_be_written_to_is_an_error(root):
    (root.parent / "file").touch()
    folder = root.parent / "file" / FOLDER
    with pytest.raises(DataError) as caught:
        open_decoded(listed(root), settings(root, directory=root.parent / "file"))
    shortage = find_shortage(listed(root), settings(root, directory=root.parent / "file"))
    assert shortage is not None
    assert f"({folder}: it cannot be written to); set dataset.cache_dir to" in shortage
    assert f"({folder}: Not a directory); set dataset.cache_dir to" in str(caught.value)


def test_all_unreadable_files_are_named_at_once(tmp_path):
    root = write_images(tmp_path / "data", 6)
    (root / "001.png").write_bytes(b"no image")
    (root / "004.png").write_bytes((root / "000.png").read_bytes()[:150])
    for _ in range(2):  # the second time from the cache
        with pytest.raises(DataError) as caught:
            open_decoded(listed(root), settings(root))
        text = str(caught.value)
        start = f"{root} has 2 images that cannot be read; mend or remove them, or set "
        assert text.startswith(f"{start}dataset.skip_unreadable: true: {root / '001.png'}: ")
        assert f"; {root / '004.png'}: " in text
    assert len(entries(root / FOLDER)) == 1


def test_unreadable_files_are_left_out_if_they_may_be(tmp_path):
    root = write_images(tmp_path / "data", 6)
    (root / "001.png").write_bytes(b"no image")
    images = listed(root)
    decoded = open_decoded(images, settings(root, skip_unreadable=True))
    assert [*decoded.unreadable] == [1]
    assert decoded.notices[1].startswith(f"1 image left out, unreadable: {root / '001.png'}: ")
    assert decoded.sizes.tolist() == [[8, 10], [0, 0], *([[8, 10]] * 4)]
    rest = [image for number, image in enumerate(images) if number != 1]
    assert np.array_equal(decoded.read([0, 2, 3, 4, 5]), read_pixels(rest))


def test_a_file_that_was_not_allowed_to_be_read_is_read_later(tmp_path):
    """Permissions change neither the size of a file nor its time."""
    root = write_images(tmp_path / "data", 3)
    make_accessible(root)
    root.chmod(0o777)
    path = root / "001.png"
    path.chmod(0)
    with plain_user(), pytest.raises(DataError, match=r"001\.png: Permission denied"):
        open_decoded(listed(root), settings(root))
    path.chmod(0o644)
    with plain_user():
        decoded = open_decoded(listed(root), settings(root))
    assert decoded.notices[0].startswith("decoded 3 images")
    assert np.array_equal(decoded.read(range(3)), read_pixels(listed(root)))


def test_missing_files_are_named(tmp_path):
    root = write_images(tmp_path / "data", 3)
    images = listed(root)
    (root / "001.png").unlink()
    with pytest.raises(DataError, match=r"001\.png: No such file or directory"):
        open_decoded(images, settings(root))
