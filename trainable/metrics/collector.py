"""`MetricCollector`: keeps what the metrics of a pass need, and computes them at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainable.config.own_code import not_allowed
from trainable.config.sections.metrics import PER_CLASS, TOP_K, list_scores
from trainable.errors import TuneSweepsError
from trainable.metrics import confusion
from trainable.metrics.confusion import MATRIX_SCORES, count_pairs, recall_per_class

if TYPE_CHECKING:
    from trainable.metrics.own import OwnMetric
    from trainable.metrics.ranking import Histogram

MAX_LOGITS_BYTES = 64 * 2**20
"""Memory of the logits of a split, in float32, above which they are counted instead of kept."""
RANKING = ("auroc", "average_precision")


@dataclass(frozen=True)
class Measurements:
    """The metrics of one pass over a split."""

    scores: dict[str, float | None] = field(default_factory=dict)
    """Name -> value; None if the images do not define it."""
    per_class: dict[str, list[Any]] = field(default_factory=dict)
    """`recall_per_class`: `[C]`; `confusion_matrix`: `[C][C]`."""


class MetricCollector:
    """Measures one pass after another; nothing in it waits for the device before the end.

    The logits of a pass are copied into one buffer, from which every metric is computed once.
    Where the buffer would need more than `MAX_LOGITS_BYTES`, the pass is counted instead, and
    AUROC and average precision come from histograms.

    Args:
        metrics: The config's `metrics`, not empty.
        num_classes: Length of a row of logits, C.
        device: Where the logits are.
        allow_custom: Whether a metric may be code of the user's.

    Raises:
        TuneSweepsError: A metric of the user's own is not allowed or cannot be used.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        num_classes: int,
        device: torch.device,
        *,
        allow_custom: bool = False,
    ) -> None:
        scores = list_scores(metrics)
        self._num_classes = num_classes
        self._names = [score.name for score in scores]
        self._per_class = [name for name in PER_CLASS if name in metrics]
        self._own: dict[str, OwnMetric] = {}
        for score in scores:
            if score.code is not None:
                if not allow_custom:
                    raise TuneSweepsError(f"metrics {not_allowed(score.code)}")
                from trainable.metrics.own import OwnMetric  # torchmetrics, which takes seconds

                self._own[score.name] = OwnMetric(score, num_classes, device)
        zeros = partial(torch.zeros, dtype=torch.int64, device=device)
        self._matrix = zeros(num_classes, num_classes)
        self._hits = {name: zeros(()) for name in self._names if name in TOP_K}
        self._logits = torch.zeros(0, num_classes, device=device)
        self._labels = zeros(0)
        self._histogram: Histogram | None = None
        self._ranking = [name for name in self._names if name in RANKING]
        if self._ranking:
            from trainable.metrics import ranking  # torchmetrics, which takes seconds

            self._ranking_module = ranking
        self._count = 0
        self._is_kept = True

    def keeps_logits(self, images: int) -> bool:
        """Returns whether the logits of a split are kept, so that AUROC is exact."""
        return images * self._num_classes * self._logits.element_size() <= MAX_LOGITS_BYTES

    def describe_counted(self, sizes: Mapping[str, int]) -> list[str]:
        """Returns a line for the user if AUROC or average precision come from histograms.

        Args:
            sizes: Name of each split -> number of its images.
        """
        large = [split for split, images in sizes.items() if not self.keeps_logits(images)]
        if not self._ranking or not large:
            return []
        return [
            f"the logits of {' and '.join(large)} need more than {MAX_LOGITS_BYTES // 2**20} MiB: "
            f"{' and '.join(self._ranking)} come from histograms, with an error below 0.001"
        ]

    def start(self, images: int) -> None:
        """Starts a pass.

        Args:
            images: Number of images of the split.
        """
        self._count = 0
        self._is_kept = self.keeps_logits(images)
        for tensor in (self._matrix, *self._hits.values()):
            tensor.zero_()
        for metric in self._own.values():
            metric.reset()
        if self._is_kept and len(self._labels) < images:
            self._logits = self._logits.new_zeros(images, self._num_classes)
            self._labels = self._labels.new_zeros(images)
        if not self._is_kept and self._ranking:
            if self._histogram is None:
                device = self._logits.device
                self._histogram = self._ranking_module.Histogram(self._num_classes, device)
            self._histogram.reset()

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: `[B, C]` float32; they may be overwritten afterwards.
            labels: `[B]` int64.
        """
        if not self._is_kept:
            self._add_counts(logits, labels)
            if self._histogram is not None:
                self._histogram.add(logits, labels)
            return
        end = self._count + len(labels)
        self._logits[self._count : end].copy_(logits)
        self._labels[self._count : end].copy_(labels)
        self._count = end

    @torch.no_grad()
    def compute(self) -> Measurements:
        """Computes the metrics of the pass; waits for the device.

        Raises:
            TuneSweepsError: A metric of the user's own has failed.
        """
        scores: dict[str, float | None] = {}
        if self._is_kept:
            logits, labels = self._logits[: self._count], self._labels[: self._count]
            self._add_counts(logits, labels)
            if self._ranking:
                probabilities = logits.softmax(1)
                exact = partial(self._ranking_module.exact_score, probabilities=probabilities)
                scores |= {name: exact(name, labels=labels) for name in self._ranking}
        elif self._histogram is not None:
            scores |= {name: self._histogram.score(name) for name in self._ranking}
        matrix = self._matrix.cpu()
        images = int(matrix.sum())
        scores |= {name: hits.item() / images for name, hits in self._hits.items()}
        scores |= {name: metric.value() for name, metric in self._own.items()}
        for name in self._names:
            if name in MATRIX_SCORES:
                scores[name] = confusion.score(name, matrix)
        rows = {"recall_per_class": recall_per_class, "confusion_matrix": Tensor.tolist}
        per_class = {name: rows[name](matrix) for name in self._per_class}
        return Measurements({name: scores[name] for name in self._names}, per_class)

    def undefined(self) -> Measurements:
        """Returns the measurements of a pass whose loss is not finite: none has a value."""
        return Measurements(dict.fromkeys(self._names))

    def _add_counts(self, logits: Tensor, labels: Tensor) -> None:
        count_pairs(self._matrix, logits.argmax(1), labels)
        for name, hits in self._hits.items():
            best = logits.topk(min(TOP_K[name], self._num_classes), dim=1).indices
            hits.add_((best == labels[:, None]).sum())
        for metric in self._own.values():
            metric.add(logits.softmax(1), labels)
