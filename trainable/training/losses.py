"""The losses of the config, each a module from logits and labels to one scalar.

All of them compute in float32, whatever the type of the logits, so they may run inside autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own spelling)
from torch import Tensor, nn

from trainable.config import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    KLDivLoss,
    LossConfig,
    NLLLoss,
    PlainLoss,
    SmoothL1Loss,
)
from trainable.errors import ConfigError, Problem

Compare = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and one-hot targets, both `[B, num_classes]` float32, to a scalar."""


def build_loss(loss: LossConfig, num_classes: int) -> nn.Module:
    """Builds the configured loss.

    Args:
        loss: The config's `loss` section.
        num_classes: Length of a row of logits.

    Returns:
        A module from logits `[B, num_classes]` and labels `[B]` int64 to a float32 scalar, the
        mean over the batch (`kl_div` with `reduction: sum` adds up instead). Class weights are
        buffers outside the state dict, so they move with `.to(device)` and are never saved.

    Raises:
        ConfigError: `weight` or `pos_weight` does not have one value per class.
    """
    match loss:
        case CrossEntropyLoss():
            weight = _build_weights(loss.weight, "loss.weight", num_classes)
            return _CrossEntropy(
                num_classes, weight, loss.ignore_index, label_smoothing=loss.label_smoothing
            )
        case NLLLoss():
            # Cross-entropy is by definition the negative log-likelihood of the log-softmax.
            weight = _build_weights(loss.weight, "loss.weight", num_classes)
            return _CrossEntropy(num_classes, weight, loss.ignore_index)
        case BCEWithLogitsLoss():
            weight = _build_weights(loss.pos_weight, "loss.pos_weight", num_classes)
            return _BCEWithLogits(weight)
        case SmoothL1Loss():
            return _OneHot(partial(F.smooth_l1_loss, beta=loss.beta))
        case KLDivLoss():
            return _OneHot(partial(_kl_div, reduction=loss.reduction, log_target=loss.log_target))
        case PlainLoss():
            return _OneHot(_PLAIN[loss.name])


class _CrossEntropy(nn.Module):
    """Softmax cross-entropy, weighted by class."""

    weight: Tensor | None

    def __init__(
        self,
        num_classes: int,
        weight: Tensor | None,
        ignore_index: int,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.weights_can_be_zero = weight is not None or 0 <= ignore_index < num_classes

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels `[B]` to a scalar."""
        loss = partial(
            F.cross_entropy,
            logits.float(),
            labels,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )
        if not self.weights_can_be_zero:
            return loss()
        # If every label of a batch is ignored or weighs 0, torch's mean is 0/0, and one such batch
        # would end the training in NaN. Here the loss and its gradients are 0.
        counts = labels != self.ignore_index
        weights = counts.float()
        if self.weight is not None:
            weights = weights * self.weight[torch.where(counts, labels, 0)]
        total = weights.sum()
        return loss(reduction="sum") / torch.where(total > 0, total, 1.0)


class _BCEWithLogits(nn.Module):
    """Binary cross-entropy of every logit against its one-hot target."""

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels `[B]` to a scalar."""
        logits = logits.float()
        return F.binary_cross_entropy_with_logits(
            logits, _encode_one_hot(labels, logits), pos_weight=self.pos_weight
        )


class _OneHot(nn.Module):
    """A loss that compares all logits of an image with its one-hot target."""

    def __init__(self, compare: Compare) -> None:
        super().__init__()
        self.compare = compare

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels `[B]` to a scalar."""
        logits = logits.float()
        return self.compare(logits, _encode_one_hot(labels, logits))


def _encode_one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    return F.one_hot(labels, logits.shape[1]).to(logits.dtype)


def _kl_div(logits: Tensor, targets: Tensor, *, reduction: str, log_target: bool) -> Tensor:
    if log_target:
        # log(0) is -inf and 0 * -inf is NaN; the smallest normal float weighs nothing.
        targets = targets.clamp(min=torch.finfo(targets.dtype).tiny).log()
    log_probabilities = F.log_softmax(logits, dim=1)
    if reduction == "mean":
        # Mean over rows and classes. torch warns that its own "mean" will become "batchmean".
        return F.kl_div(log_probabilities, targets, reduction="none", log_target=log_target).mean()
    return F.kl_div(log_probabilities, targets, reduction=reduction, log_target=log_target)


def _squared_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean squared hinge with targets -1/+1, as in binarized networks (arXiv:1602.02830)."""
    signs = 2 * targets - 1
    return (1 - signs * logits).clamp(min=0).square().mean()


_PLAIN: dict[str, Compare] = {
    # The binary cross-entropy of the sigmoid, computed from the logits: its gradient stays right
    # where the sigmoid rounds to 1, and autocast permits it.
    "bce": F.binary_cross_entropy_with_logits,
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "sqr_hinge": _squared_hinge,
}


def _build_weights(values: Sequence[float] | None, key: str, num_classes: int) -> Tensor | None:
    if values is None:
        return None
    if len(values) != num_classes:
        rule = f"must have one value per class ({num_classes}), found {len(values)}"
        raise ConfigError("config", [Problem(key, rule)])
    return torch.tensor(values, dtype=torch.float32)
