"""Memory of mapped files, and what this process could use of the machine's."""

import numpy as np
import pytest

from trainable.data.cache import memory
from trainable.data.cache.memory import available_memory, mapped_memory, usable_share


def test_pages_of_a_mapped_file_are_counted_by_its_name(tmp_path):
    np.save(tmp_path / "mapped.npy", np.ones(2**20, np.uint8))
    pixels = np.load(tmp_path / "mapped.npy", mmap_mode="r")
    assert pixels.sum() == 2**20
    assert 2**20 <= mapped_memory("mapped.npy") <= 2**20 + 2**14
    assert mapped_memory("other.npy") == 0


def test_some_memory_is_available():
    assert 2**20 < available_memory() < 2**50


@pytest.mark.parametrize(("available", "share"), [(2, 0.5), (6, 1.0), (60, 1.0)])
def test_what_others_use_is_not_usable(monkeypatch, available, share):
    gib = 2**30
    monkeypatch.setattr(memory, "machine_memory", lambda: 8 * gib)
    monkeypatch.setattr(memory, "available_memory", lambda: available * gib)
    monkeypatch.setattr(memory, "_read_number", lambda path, pattern: 2 * 2**20)
    assert usable_share() == share


def test_own_memory_is_usable(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    assert 2**20 < usable_share() * memory.machine_memory() < 2**40
