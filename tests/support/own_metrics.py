"""Metrics of a user's own; named `own_metrics:Brier` in configs."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Brier(Metric):
    """The mean squared distance of the probabilities from the class; lower is better."""

    higher_is_better = False

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        targets = torch.nn.functional.one_hot(labels, self.num_classes)
        self.total += (probabilities - targets).square().sum()
        self.count += len(labels)

    def compute(self) -> Tensor:
        return self.total / self.count


class PerClass(Brier):
    """Is not one number."""

    def compute(self) -> Tensor:
        return torch.zeros(self.num_classes)


class Failing(Brier):
    """Cannot be computed."""

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        raise RuntimeError("no such column")


def make_brier(num_classes: int) -> Metric:
    return Brier(num_classes)


def not_a_metric() -> int:
    return 3


def needs_more(threshold: float) -> Metric:
    raise AssertionError(threshold)
