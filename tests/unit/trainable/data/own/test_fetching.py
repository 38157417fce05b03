"""Random changes of items depend on a seed alone, and leave the global generators alone."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from tests.support.own_data import Epochs, Items, random_item
from trainable.data.own.fetching import DrawDetector, OwnItems, seeded_generators
from trainable.errors import DataError


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_the_numbers_of_a_block_depend_on_its_seeds() -> None:
    draws = []
    for seeds in ((1, 2), (1, 3), (2, 2), (1, 2)):
        draw()
        with seeded_generators(*seeds):
            draws.append(draw())
    assert draws[0] == draws[3]
    for numbers in zip(*draws[:3], strict=True):
        assert len(set(numbers)) == 3


def test_a_block_puts_the_generators_back_also_after_an_error() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = draw()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), seeded_generators(5):
        _ = draw()[0] / 0
    assert draw() == expected


@pytest.mark.parametrize(
    "drawing", [random.random, np.random.rand, np.random.randn, lambda: torch.rand(1)]
)
def test_a_draw_from_any_global_generator_is_noticed(drawing: object) -> None:
    assert callable(drawing)
    detector = DrawDetector()
    assert not detector.has_drawn()
    drawing()
    assert detector.has_drawn()


def test_set_epoch_is_called_before_an_item_is_fetched() -> None:
    items = OwnItems(Subset(Epochs(lambda n: n), [4, 5]), "my:data", "train")
    assert items.has_epochs
    values = [items.fetch(0, epoch=epoch)[0][0, 0, 0].item() for epoch in (3, 3, 4, 0)]
    assert values == [3, 3, 4, 0]
    assert not OwnItems(Items(random_item), "my:data", "train").has_epochs


def test_an_error_names_the_item_and_the_users_line() -> None:
    items = OwnItems(Items(lambda n: 1 // 0), "my:data", "val")
    with pytest.raises(DataError) as caught:
        items.fetch(4)
    text = str(caught.value)
    assert text.startswith('dataset.name "my:data": item 4 of val cannot be read: ZeroDiv')
