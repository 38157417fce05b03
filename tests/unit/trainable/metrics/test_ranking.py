"""AUROC and average precision, exact and from a histogram."""

import pytest
import torch

from trainable.metrics.ranking import Histogram, exact_score


def test_one_order_of_four_images() -> None:
    """Of class 1, the images with 0.8 and 0.4 are right, with 0.6 and 0.1 wrong."""
    of_class_1 = torch.tensor([0.8, 0.6, 0.4, 0.1])
    probabilities = torch.stack([1 - of_class_1, of_class_1], dim=1)
    labels = torch.tensor([1, 0, 1, 0])
    assert exact_score("auroc", probabilities, labels) == pytest.approx(0.75)
    expected = ((1 + 2 / 3) / 2 + (1 + 2 / 3) / 2) / 2
    assert exact_score("average_precision", probabilities, labels) == pytest.approx(expected)
    histogram = Histogram(2, torch.device("cpu"))
    histogram.add(probabilities.log(), labels)
    assert histogram.score("auroc") == pytest.approx(0.75)
    assert histogram.score("average_precision") == pytest.approx(expected)


def test_images_of_one_interval_count_as_equal() -> None:
    histogram = Histogram(2, torch.device("cpu"))
    logits, labels = torch.tensor([[0.0, 1.0], [0.0, 1.0001]]), torch.tensor([0, 1])
    histogram.add(logits, labels)
    assert histogram.score("auroc") == pytest.approx(0.5)
    histogram.reset()
    assert histogram.score("auroc") is None
