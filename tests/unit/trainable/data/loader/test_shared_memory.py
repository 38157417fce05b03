"""Too little shared memory for loader processes: named, and the images are loaded without them."""

import logging
from collections import namedtuple
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from trainable.config import ImageFolderDataset
from trainable.data import folder
from trainable.data.folder import FolderSource
from trainable.data.image_file import ReadRules
from trainable.data.loader import shared_memory
from trainable.data.loader.shared_memory import find_shortage, is_shared_memory_error

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unable to write to file </torch_7_1_0>: No space left on device (28)", True),
        ("unable to allocate shared memory(shm) for file </torch_7_1_0>", True),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that", True),
        ("[Errno 28] No space left on device: '/dev/shm/torch_7'", True),
        ("[Errno 28] No space left on device: '/scratch/run/latest.pt'", False),
        ("DataLoader worker (pid 7) is killed by signal: Killed.", False),
    ],
)
def test_errors_of_shared_memory_are_told_from_a_full_disk(text: str, expected: bool) -> None:
    assert is_shared_memory_error(text) == expected


def test_what_the_loader_processes_need_is_compared_with_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_memory, "DEVICE", Path("/"))
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: Usage(0, 0, 64 * 2**20))
    assert find_shortage(2**24, 2) is None
    shortage = find_shortage(2**24 + 1, 2)
    assert shortage is not None
    assert "64.0 MiB free, 2 loader processes need 64.0 MiB" in shortage
    assert "--shm-size" in shortage
    assert "num_workers: 0" in shortage
    assert find_shortage(2**40, 0) is None


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., FolderSource]:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(6):
                pixels = rng.integers(255, size=(16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")

    def make(workers: int) -> FolderSource:
        dataset = ImageFolderDataset(name="image_folder", root=str(tmp_path), image_size=16)
        return FolderSource(dataset, torch.device("cpu"), num_workers=workers)

    return make


def same(first: Iterator[Any], second: Iterator[Any]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


def test_an_epoch_goes_on_without_processes_when_shared_memory_is_full(
    make_source: Callable[..., FolderSource],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = list(make_source(0).train_batches(4, seed=3))
    read = folder.read_image

    def fail_in_a_worker(path: str, rules: ReadRules) -> Image.Image:
        if get_worker_info() is not None and path.endswith("3.png"):
            raise RuntimeError("unable to write to file </torch_7_1>: No space left on device")
        return read(path, rules)

    monkeypatch.setattr(folder, "read_image", fail_in_a_worker)
    source = make_source(2)
    with caplog.at_level(logging.WARNING):
        assert same(source.train_batches(4, seed=3), iter(expected))
    assert "(shared memory) is full: batches are loaded without loader processes" in caplog.text
    caplog.clear()
    assert same(source.train_batches(4, seed=3), iter(expected))
    assert caplog.text == ""


def test_other_errors_of_a_loader_process_are_not_hidden_and_end_the_processes(
    make_source: Callable[..., FolderSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, rules: ReadRules) -> Image.Image:
        raise RuntimeError("something else")

    monkeypatch.setattr(folder, "read_image", fail)
    before = {process.pid for process in active_children()}
    with pytest.raises(RuntimeError, match="something else"):
        list(make_source(2).train_batches(4, seed=3))
    assert {process.pid for process in active_children()} <= before
