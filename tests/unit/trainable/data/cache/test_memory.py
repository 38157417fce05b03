"""Memory of mapped files."""

import numpy as np

from trainable.data.cache.memory import available_memory, mapped_memory


def test_pages_of_a_mapped_file_are_counted_by_its_name(tmp_path):
    np.save(tmp_path / "mapped.npy", np.ones(2**20, np.uint8))
    pixels = np.load(tmp_path / "mapped.npy", mmap_mode="r")
    assert pixels.sum() == 2**20
    assert 2**20 <= mapped_memory("mapped.npy") <= 2**20 + 2**14
    assert mapped_memory("other.npy") == 0


def test_some_memory_is_available():
    assert 2**20 < available_memory() < 2**50
