"""Files of features: computed once, checked, deleted by age."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainable.features.store import Features, FeatureStore, read_features

CPU = torch.device("cpu")
KEY = {"weights": "abc", "pass": 1}


class Computation:
    """Computes features and counts how often."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.count = 0
        self._dtype = dtype

    def __call__(self) -> Features:
        self.count += 1
        values = torch.arange(12).reshape(4, 3).to(self._dtype)
        return Features(values, torch.tensor([0, 1, 1, 0]))


def events() -> tuple[list[str], Callable[[str], None]]:
    lines: list[str] = []
    return lines, lines.append


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_features_are_computed_once_and_read_back(tmp_path: Path, dtype: torch.dtype) -> None:
    compute = Computation(dtype)
    lines, on_event = events()
    for _ in range(2):
        for _ in range(2):
            store = FeatureStore(tmp_path, 2**20)
            features = store.get(KEY, compute, CPU, on_event)
            assert store.get(KEY, compute, CPU, on_event) is features
    assert compute.count == 1
    assert lines == []
    assert features.values.dtype is dtype
    assert torch.equal(features.values, compute().values)
    assert features.labels.tolist() == [0, 1, 1, 0]
    FeatureStore(tmp_path, 2**20).get({**KEY, "pass": 2}, compute, CPU, on_event)
    assert compute.count == 3
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    compute = Computation()
    _, on_event = events()
    FeatureStore(tmp_path, 2**20).get(KEY, compute, CPU, on_event)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    changed = bytearray(data)
    changed[-40] ^= 1
    path.write_bytes({"cut": data[:-5], "changed": bytes(changed), "empty": b""}[damage])
    features = FeatureStore(tmp_path, 2**20).get(KEY, compute, CPU, on_event)
    assert compute.count == 2
    assert torch.equal(features.values, compute().values)
    again = read_features(path)
    assert again is not None
    assert torch.equal(again.values, features.values)


def test_a_process_says_that_it_waits_for_another_that_computes(tmp_path: Path) -> None:
    """Two stores of one directory are like two processes."""
    waits = threading.Event()
    lines: list[str] = []

    def compute_while_the_other_waits() -> Features:
        thread.start()
        waits.wait()
        return Computation()()

    def on_event(line: str) -> None:
        lines.append(line)
        waits.set()

    second = Computation()
    stores = [FeatureStore(tmp_path, 2**20) for _ in range(2)]
    thread = threading.Thread(target=stores[1].get, args=(KEY, second, CPU, on_event))
    stores[0].get(KEY, compute_while_the_other_waits, CPU, on_event)
    thread.join()
    builder = "another process, which computes the features of these images"
    assert lines == [f"note: waiting for {builder}"]
    assert second.count == 0


def test_threads_wait_for_the_one_that_computes(tmp_path: Path) -> None:
    compute = Computation()
    store = FeatureStore(tmp_path, 2**20)
    arguments = (KEY, compute, CPU, print)
    threads = [threading.Thread(target=store.get, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.count == 1


def test_the_files_that_were_used_longest_ago_make_room(tmp_path: Path) -> None:
    compute = Computation()
    lines, on_event = events()

    def get(number: int, limit: int = 2**20) -> set[Path]:
        FeatureStore(tmp_path, limit).get({**KEY, "pass": number}, compute, CPU, on_event)
        return set(tmp_path.iterdir())

    (first,) = get(0)
    os.utime(first, (1, 1))
    limit = 2 * first.stat().st_size
    (second,) = get(1, limit) - {first}
    os.utime(second, (2, 2))
    get(0, limit)  # is used again
    assert first in (left := get(2, limit))
    assert second not in left
    assert (len(left), compute.count, lines) == (2, 3, [])


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    compute = Computation()
    lines, on_event = events()
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file" / "features", 2**20)
    assert store.get(KEY, compute, CPU, on_event).labels.tolist() == [0, 1, 1, 0]
    (line,) = lines
    assert line.startswith(f"note: features are not kept on disk: {tmp_path}/file/features: ")
    assert read_features(tmp_path / "none") is None
