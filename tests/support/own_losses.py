"""Losses of the user's own, good and wrong ones; named `own_losses:Poly1`."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


class Poly1(nn.Module):
    """PolyLoss (arXiv:2204.12511), for labels and for soft targets."""

    def __init__(self, epsilon: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        targets = labels
        if not labels.is_floating_point():
            targets = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        p = (targets * logits.softmax(1)).sum(1)
        return F.cross_entropy(logits, labels) + self.epsilon * (1 - p).mean()


def labels_only() -> Loss:
    """A function that takes labels only."""
    return lambda logits, labels: F.nll_loss(logits.log_softmax(1), labels)


def noisy() -> Loss:
    """Draws random numbers from the global stream."""
    return lambda logits, labels: F.cross_entropy(logits + torch.randn_like(logits), labels)


def per_image() -> Loss:
    return lambda logits, labels: F.cross_entropy(logits, labels, reduction="none")


def detached() -> Loss:
    return lambda logits, labels: F.cross_entropy(logits.detach(), labels)


def endless() -> Loss:
    return lambda logits, labels: F.cross_entropy(logits, labels) / 0


def a_number() -> Callable[[Tensor, Tensor], float]:
    return lambda logits, labels: float(F.cross_entropy(logits, labels))


def raises() -> Loss:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        raise ValueError("this loss is unfinished")

    return loss


def not_a_loss() -> int:
    return 3


def trainable_loss() -> nn.Module:
    return nn.Linear(3, 3)
