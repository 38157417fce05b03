"""Metrics of a confusion matrix at the edges; `test_collector.py` compares them all."""

import pytest
import torch

from trainable.metrics.confusion import count_pairs, recall_per_class, score


def test_pairs_are_added_to_those_of_earlier_batches() -> None:
    matrix = torch.zeros(3, 3, dtype=torch.int64)
    for predictions, labels in (([0, 2, 2], [0, 2, 1]), ([2], [1])):
        count_pairs(matrix, torch.tensor(predictions), torch.tensor(labels))
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 2], [0, 0, 1]]


def test_a_class_without_images_has_no_recall() -> None:
    assert recall_per_class(torch.tensor([[3, 1], [0, 0]])) == [0.75, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [("mcc", 0.0), ("kappa", None), ("f1_macro", 1.0), ("balanced_accuracy", 1.0)],
)
def test_a_single_class(name: str, value: float | None) -> None:
    assert score(name, torch.tensor([[4, 0], [0, 0]])) == value
