"""Metrics of a confusion matrix: one count of pairs of classes gives all of them.

Row y, column p of a matrix `[C, C]` int64 is the number of images of class y that were classified
as p. Every metric is scikit-learn's on the same images, also where classes are absent: a class
that is neither a label nor a prediction has no F1, and one without images no recall. torchmetrics
differs there: its macro accuracy counts an absent class that is predicted as 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def count_pairs(matrix: Tensor, predictions: Tensor, labels: Tensor) -> None:
    """Adds images to a confusion matrix; does not wait for the device, as a bincount would.

    Args:
        matrix: `[C, C]` int64.
        predictions: `[B]` int64.
        labels: `[B]` int64.
    """
    pairs = labels * len(matrix) + predictions
    matrix.view(-1).index_add_(0, pairs, torch.ones_like(pairs))


def score(name: str, matrix: Tensor) -> float | None:
    """Returns a metric of `MATRIX_SCORES`; None if the images do not define it.

    Args:
        name: The metric.
        matrix: `[C, C]` int64 on the CPU.
    """
    value = MATRIX_SCORES[name](matrix.double())
    return value.item() if bool(value.isfinite()) else None


def recall_per_class(matrix: Tensor) -> list[float | None]:
    """Returns the share of every class that was classified correctly; None without images."""
    labels = matrix.sum(1)
    recall = (matrix.diagonal() / labels.double()).tolist()
    return [value if total else None for value, total in zip(recall, labels.tolist(), strict=True)]


def _f1_per_class(counts: Tensor) -> Tensor:
    """Returns `[C]`; NaN for a class that is neither a label nor a prediction."""
    return 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))


def _f1_macro(counts: Tensor) -> Tensor:
    return _f1_per_class(counts).nanmean()


def _f1_weighted(counts: Tensor) -> Tensor:
    labels = counts.sum(1)
    return (_f1_per_class(counts).nan_to_num() * labels).sum() / labels.sum()


def _precision_macro(counts: Tensor) -> Tensor:
    """A class that is never predicted has precision 0, as in scikit-learn."""
    precision = (counts.diagonal() / counts.sum(0)).nan_to_num()
    return precision[counts.sum(0) + counts.sum(1) > 0].mean()


def _balanced_accuracy(counts: Tensor) -> Tensor:
    return (counts.diagonal() / counts.sum(1)).nanmean()


def _kappa(counts: Tensor) -> Tensor:
    """Cohen's kappa: agreement beyond chance."""
    total = counts.sum()
    chance = (counts.sum(0) * counts.sum(1)).sum() / total
    return (counts.diagonal().sum() - chance) / (total - chance)


def _mcc(counts: Tensor) -> Tensor:
    """Matthews' correlation (Gorodkin, 2004); 0 if all labels or all predictions are equal."""
    predictions, labels, total = counts.sum(0), counts.sum(1), counts.sum()
    covariance = counts.diagonal().sum() * total - (predictions * labels).sum()
    spread = (total**2 - predictions.square().sum()) * (total**2 - labels.square().sum())
    return torch.where(spread > 0, covariance / spread.sqrt(), 0.0)


MATRIX_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "f1_weighted": _f1_weighted,
    "kappa": _kappa,
    "mcc": _mcc,
    "precision_macro": _precision_macro,
}
"""Name of a metric -> its function of a matrix `[C, C]` float64; NaN where it is undefined."""
