"""The losses of the config, each a module from logits and labels to one scalar.

All of them compute in float32, whatever the type of the logits, so they may run inside autocast.
Labels are classes `[B]` int64 or, where images are mixed, soft targets `[B, num_classes]` float32.
One-hot targets have the loss of their classes.
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
    FocalLoss,
    KLDivLoss,
    LossConfig,
    NLLLoss,
    OwnLoss,
    PlainLoss,
    SmoothL1Loss,
)
from trainable.config.own_code import import_own, not_allowed
from trainable.errors import ConfigError, Problem, TuneSweepsError, summarize_exception

Compare = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and targets, both `[B, num_classes]` float32, to a scalar."""


def build_loss(
    loss: LossConfig,
    num_classes: int,
    *,
    class_counts: Tensor | None = None,
    allow_custom: bool = False,
) -> nn.Module:
    """Builds the configured loss.

    Args:
        loss: The config's `loss` section.
        num_classes: Length of a row of logits.
        class_counts: Number of training images of each class `[classes of the data]`, for
            `weight: balanced`.
        allow_custom: Whether `name` may import a callable of the user's.

    Returns:
        A module from logits `[B, num_classes]` and labels (see above) to a float32 scalar, the
        mean over the batch (`kl_div` with `reduction: sum` adds up instead). Class weights are
        buffers outside the state dict, so they move with `.to(device)` and are never saved.

    Raises:
        ConfigError: `weight` or `pos_weight` does not have one value per class.
        TuneSweepsError: A loss of the user's own is not allowed or cannot be built.
    """
    match loss:
        case CrossEntropyLoss():
            weight = _build_weights(loss.weight, "loss.weight", num_classes, class_counts)
            return _CrossEntropy(
                num_classes, weight, loss.ignore_index, label_smoothing=loss.label_smoothing
            )
        case NLLLoss():
            # Cross-entropy is by definition the negative log-likelihood of the log-softmax.
            weight = _build_weights(loss.weight, "loss.weight", num_classes, class_counts)
            return _CrossEntropy(num_classes, weight, loss.ignore_index)
        case BCEWithLogitsLoss():
            weight = _build_weights(loss.pos_weight, "loss.pos_weight", num_classes)
            return _BCEWithLogits(weight)
        case SmoothL1Loss():
            return _OneHot(partial(F.smooth_l1_loss, beta=loss.beta))
        case KLDivLoss():
            return _OneHot(partial(_kl_div, reduction=loss.reduction, log_target=loss.log_target))
        case FocalLoss():
            weight = _build_weights(loss.weight, "loss.weight", num_classes, class_counts)
            return _Focal(loss.gamma, weight)
        case PlainLoss():
            return _OneHot(_PLAIN[loss.name], _PLAIN_SOFT.get(loss.name))
        case OwnLoss():
            return _build_own(loss, allow_custom=allow_custom)


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
        """Maps logits `[B, num_classes]` and labels to a scalar."""
        if labels.is_floating_point():
            return self._compare_soft(logits.float(), labels)
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

    def _compare_soft(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = partial(F.cross_entropy, logits, targets, label_smoothing=self.label_smoothing)
        if self.weight is None:
            return loss()
        # torch's mean divides by the number of images here, and by their weights for classes.
        return loss(weight=self.weight, reduction="sum") / _sum_weights(targets, self.weight)


class _Focal(nn.Module):
    """Focal loss (arXiv:1708.02002) of the softmax, weighted by class."""

    weight: Tensor | None

    def __init__(self, gamma: float, weight: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels to a scalar."""
        log_p = F.log_softmax(logits.float(), dim=1)
        targets = _encode_targets(labels, log_p)
        # Not 0, where the gradient of a power below 1 is infinite.
        rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
        losses = -targets * rest.pow(self.gamma) * log_p
        if self.weight is None:
            return losses.sum(1).mean()
        return (losses * self.weight).sum() / _sum_weights(targets, self.weight)


def _sum_weights(targets: Tensor, weight: Tensor) -> Tensor:
    """Returns the sum of a batch's class weights; 1 if it is 0, where the loss is 0, too."""
    total = (targets * weight).sum()
    return torch.where(total > 0, total, 1.0)


class _BCEWithLogits(nn.Module):
    """Binary cross-entropy of every logit against its one-hot target."""

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels to a scalar."""
        logits = logits.float()
        return F.binary_cross_entropy_with_logits(
            logits, _encode_targets(labels, logits), pos_weight=self.pos_weight
        )


class _OneHot(nn.Module):
    """A loss that compares all logits of an image with its one-hot or soft target.

    Args:
        compare: Compares with one-hot targets.
        compare_soft: Compares with soft targets; None for a loss that compares them in the same
            way.
    """

    def __init__(self, compare: Compare, compare_soft: Compare | None = None) -> None:
        super().__init__()
        self.compare = compare
        self.compare_soft = compare_soft or compare

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels to a scalar."""
        logits = logits.float()
        compare = self.compare_soft if labels.is_floating_point() else self.compare
        return compare(logits, _encode_targets(labels, logits))


class _Own(nn.Module):
    """A loss of the user's own, on logits in float32."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits `[B, num_classes]` and labels to a scalar."""
        return self.loss(logits.float(), labels)


def _build_own(config: OwnLoss, *, allow_custom: bool) -> nn.Module:
    if not allow_custom:
        raise TuneSweepsError(f"loss.name {not_allowed(config.name)}")
    build = import_own("loss.name", config.name)
    try:
        loss = build(**config.args)
    except Exception as error:  # whatever the user's code raises
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.args.items())
        raise TuneSweepsError(
            f'loss.name "{config.name}" cannot be called with loss.args ({arguments}): '
            f"{summarize_exception(error)}"
        ) from error
    if not callable(loss):
        raise TuneSweepsError(
            f'loss.name "{config.name}" must return the loss, a module or a function of logits '
            f"and labels, found {type(loss).__name__}"
        )
    if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
        raise TuneSweepsError(
            f'loss.name "{config.name}" must have no parameters, which would not be trained; make '
            "them buffers, or part of a model of your own"
        )
    return _Own(loss)


def _encode_targets(labels: Tensor, logits: Tensor) -> Tensor:
    if labels.is_floating_point():
        return labels
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


def _soft_squared_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """Mixes the losses of both signs: a sign between them would mean a margin of its own."""
    positive = (1 - logits).clamp(min=0).square()
    negative = (1 + logits).clamp(min=0).square()
    return (targets * positive + (1 - targets) * negative).mean()


_PLAIN: dict[str, Compare] = {
    # The binary cross-entropy of the sigmoid, computed from the logits: its gradient stays right
    # where the sigmoid rounds to 1, and autocast permits it.
    "bce": F.binary_cross_entropy_with_logits,
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "sqr_hinge": _squared_hinge,
}
_PLAIN_SOFT: dict[str, Compare] = {"sqr_hinge": _soft_squared_hinge}


def balanced_weights(class_counts: Tensor, num_classes: int) -> Tensor:
    """Returns class weights with which all classes weigh the same in the training set.

    They are scikit-learn's `balanced`: the mean over all training images is 1. A class without
    images, as a model with more classes than the data has, weighs 0.

    Args:
        class_counts: Number of training images of each class `[classes of the data]` int64.
        num_classes: Length of a row of logits.

    Returns:
        `[num_classes]` float32.
    """
    counts = torch.zeros(num_classes, dtype=torch.float64)
    counts[: len(class_counts)] = class_counts.double()
    classes = (counts > 0).sum()
    weights = torch.where(counts > 0, counts.sum() / (classes * counts.clamp(min=1)), 0.0)
    return weights.float()


def _build_weights(
    values: Sequence[float] | str | None,
    key: str,
    num_classes: int,
    class_counts: Tensor | None = None,
) -> Tensor | None:
    if values is None:
        return None
    if isinstance(values, str):
        assert class_counts is not None, "the caller has counted the images"
        return balanced_weights(class_counts, num_classes)
    if len(values) != num_classes:
        rule = f"must have one value per class ({num_classes}), found {len(values)}"
        raise ConfigError("config", [Problem(key, rule)])
    return torch.tensor(values, dtype=torch.float32)
