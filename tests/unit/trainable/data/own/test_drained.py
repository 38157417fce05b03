"""Own data sets that are read into memory."""

import pytest
import torch

from trainable.config import OwnDataset
from trainable.data.loader.batches import BatchLoader
from trainable.data.own import drained
from trainable.data.own.build import build_own
from trainable.data.own.drained import drain, fits_in_memory
from trainable.data.own.measure import look_at

LOADER = BatchLoader(torch.device("cpu"), 0)


def test_all_items_are_read_unless_one_of_them_draws() -> None:
    for name, expected in (("always_same", 60), ("sometimes_random", None)):
        dataset = OwnDataset(name=f"tests.support.own_data:{name}")
        data = build_own(dataset)
        look = look_at(data)
        assert fits_in_memory(data, look, dataset)
        items = drain(data, look.form, dataset, LOADER)
        assert (items and len(items["train"].pixels)) == expected


def test_what_is_larger_than_the_limit_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = OwnDataset(name="tests.support.own_data:arrays")
    data = build_own(dataset)
    look = look_at(data)
    size = 90 * 8 * 8 * 3
    for limit, fits in ((size, True), (size - 1, False)):
        monkeypatch.setattr(drained, "MAX_BYTES", limit)
        assert fits_in_memory(data, look, dataset) == fits
    assert not fits_in_memory(data, look, dataset.model_copy(update={"image_size": 16}))
