"""AUROC and average precision of every class against the rest, averaged over the classes.

Both depend only on the order in which a class's probabilities put the images. Classes without
images, or without images of another class, have no value and do not count.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

BINS = 1024
"""Intervals of a class's log-odds in a `Histogram`."""
LIMIT = 20.0
"""Log-odds beyond which all images are in the first or the last interval."""

_EXACT: dict[str, Callable[..., Tensor]] = {
    "auroc": binary_auroc,
    "average_precision": binary_average_precision,
}


def exact_score(name: str, probabilities: Tensor, labels: Tensor) -> float | None:
    """Computes `auroc` or `average_precision` from every probability.

    Args:
        name: The metric.
        probabilities: `[N, C]` float32, the softmax of the logits.
        labels: `[N]` int64.

    Returns:
        The mean over the classes that have a value; None if there are none.
    """
    counts = torch.bincount(labels, minlength=probabilities.shape[1]).tolist()
    values = [
        _EXACT[name](probabilities[:, label], (labels == label).long(), validate_args=False)
        for label, count in enumerate(counts)
        if 0 < count < len(labels)
    ]
    return torch.stack(values).double().mean().item() if values else None


class Histogram:
    """Counts images by their log-odds, for splits whose probabilities need too much memory.

    Images in one interval, which is 0.04 wide, count as equal: the error is below 0.001.

    Args:
        num_classes: The number of classes, C.
        device: Where the logits are.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        shape = 2, num_classes, BINS
        self._counts = torch.zeros(shape, dtype=torch.int64, device=device)
        """Images of other classes and of the class itself, by class and interval."""
        self._rows = torch.arange(num_classes, device=device)

    def reset(self) -> None:
        """Starts a pass."""
        self._counts.zero_()

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Adds images; does not wait for the device.

        Args:
            logits: `[B, C]` float32.
            labels: `[B]` int64.
        """
        log_probability = functional.log_softmax(logits, dim=1)
        log_odds = log_probability - torch.log1p(-log_probability.exp())
        position = (log_odds.clamp(-LIMIT, LIMIT) + LIMIT) * (BINS / (2 * LIMIT))
        interval = position.long().clamp_(0, BINS - 1)  # also of a NaN
        is_class = (labels[:, None] == self._rows).long()
        index = (is_class * len(self._rows) + self._rows) * BINS + interval
        self._counts.view(-1).index_add_(0, index.view(-1), torch.ones_like(index).view(-1))

    def score(self, name: str) -> float | None:
        """Computes `auroc` or `average_precision`; see `exact_score`."""
        others, own = self._counts.cpu().double()
        total, rest = own.sum(1), others.sum(1)
        if name == "auroc":
            below = others.cumsum(1) - others / 2
            values = (own * below).sum(1) / (total * rest)
        else:
            above = own.flip(1).cumsum(1)
            precision = above / (above + others.flip(1).cumsum(1))
            values = (own.flip(1) * precision.nan_to_num()).sum(1) / total
        values = values[(total > 0) & (rest > 0)]
        return values.mean().item() if len(values) else None
