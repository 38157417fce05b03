"""Batches of stored images, also of files that do not fit into memory."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.settings import CacheSettings
from trainable.data.cache.store import open_decoded
from trainable.data.cached.feeding import AHEAD, Feeder, make_ahead
from trainable.data.listing import ListedImage

PARTS = [np.array([3, 1, 3]), np.array([0]), np.array([4, 2]), np.array([1]), np.array([2])]


@pytest.fixture
def decoded(tmp_path: Path) -> DecodedImages:
    images = []
    rng = np.random.default_rng(0)
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(256, size=(6, 9, 3), dtype=np.uint8)).save(path)
        images.append(ListedImage(path.name, str(path), 0))
    return open_decoded(images, CacheSettings(tmp_path, side=16, directory=tmp_path))


@pytest.mark.parametrize("fits_memory", [True, False])
def test_batches_are_the_images_of_their_numbers(decoded, fits_memory):
    expected = [decoded.read(part) for part in PARTS]
    decoded.fits_memory = fits_memory
    batches = list(Feeder(decoded, torch.device("cpu")).batches(PARTS))
    assert [batch.shape for batch in batches] == [(len(part), 6, 9, 3) for part in PARTS]
    for batch, pixels in zip(batches, expected, strict=True):
        assert (batch.numpy() == pixels).all()


def test_values_are_made_ahead_in_order_but_not_all_at_once():
    made = []
    values = make_ahead(lambda item: made.append(item) or -item, range(8), AHEAD)
    assert next(values) == 0
    assert len(made) <= 1 + AHEAD
    assert list(values) == [-item for item in range(1, 8)]
    assert made == list(range(8))


def test_an_error_arrives_at_its_place_and_the_thread_ends():
    values = make_ahead(lambda item: 1 / item, [1, 2, 0, 4], AHEAD)
    assert [next(values), next(values)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(values)
    threads = threading.active_count()
    values = make_ahead(lambda item: item, range(100), AHEAD)
    next(values)
    values.close()
    assert threading.active_count() == threads
