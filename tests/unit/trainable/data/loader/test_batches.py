"""Batches of a data set, in this process and in loader processes."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainable.data.loader.batches import BatchLoader, number_repeats
from trainable.errors import DataError

CPU = torch.device("cpu")


class Squares(Dataset[tuple[Tensor, int]]):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 9:
            raise DataError("item 9: it is no image")
        return torch.full((2,), index * index), index


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_come_in_the_order_of_their_numbers(workers: int) -> None:
    state = torch.default_generator.get_state()
    first, second = BatchLoader(CPU, workers).load(Squares(), [[3, 1], [2]], 16)
    assert first[0].tolist() == [[9, 9], [1, 1]]
    assert first[1].tolist() == [3, 1]
    assert second[0].tolist() == [[4, 4]]
    assert torch.equal(torch.default_generator.get_state(), state)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_has_the_same_text_from_a_loader_process(workers: int) -> None:
    with pytest.raises(DataError) as caught:
        list(BatchLoader(CPU, workers).load(Squares(), [[1, 9]], 16))
    assert str(caught.value) == "item 9: it is no image"


def test_an_item_that_occurs_again_has_another_number() -> None:
    assert number_repeats([2, 0, 2, 2], 5) == [2, 0, 7, 12]
