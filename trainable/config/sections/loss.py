"""`loss`: what a training minimises."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainable.config.own_code import OWN_NAME
from trainable.config.schema import Arguments, ByName, Items, NonNegative, Positive, Section

ClassWeights = Items[NonNegative] | Literal["balanced"] | None


class CrossEntropyLoss(Section):
    """Softmax cross-entropy on logits."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, le=1, examples=[0.1])
    """Share of the target spread over all classes."""
    weight: ClassWeights = Field(default=None, examples=["balanced"])
    """Weight of each class. `balanced`: inversely proportional to the number of its training
    images, so that all classes weigh the same together. The mean divides by the weights of the
    batch."""
    ignore_index: int = Field(default=-100, examples=[0])
    """Label that is ignored."""


class NLLLoss(Section):
    """Negative log likelihood of the log-softmax of the logits."""

    name: Literal["nll"]
    weight: ClassWeights = Field(default=None, examples=[[1.0, 2.5]])
    """Weight of each class, or `balanced`, as for `cross_entropy`."""
    ignore_index: int = Field(default=-100, examples=[0])
    """Label that is ignored."""


class PlainLoss(Section):
    """Losses without further keys.

    `mse` and `l1` against one-hot targets, `bce` on the sigmoid of the logits, `sqr_hinge` with
    targets -1/+1.
    """

    name: Literal["bce", "l1", "mse", "sqr_hinge"]


class SmoothL1Loss(Section):
    """Huber-like loss against one-hot targets."""

    name: Literal["smooth_l1"]
    beta: Positive = Field(default=1.0, examples=[0.5])
    """Difference at which the square becomes a straight line."""


class BCEWithLogitsLoss(Section):
    """Binary cross-entropy on logits against one-hot targets."""

    name: Literal["bce_with_logits"]
    pos_weight: Items[NonNegative] | None = Field(default=None, examples=[[1.0, 9.0]])
    """Weight of each class's positive examples."""


class KLDivLoss(Section):
    """Kullback-Leibler divergence from the one-hot targets to the softmax of the logits."""

    name: Literal["kl_div"]
    reduction: Literal["batchmean", "mean", "sum"] = Field(default="batchmean", examples=["sum"])
    """Mean over images, mean over images and classes, or sum."""
    log_target: bool = Field(default=False, examples=[True])
    """Whether targets are passed as logarithms."""


class FocalLoss(Section):
    """Focal loss on the softmax of the logits."""

    name: Literal["focal"]
    gamma: NonNegative = Field(default=2.0, examples=[1.0])
    """Exponent: an image whose class has probability `p` weighs `(1 - p) ** gamma`. With 0 it is
    `cross_entropy`."""
    weight: ClassWeights = Field(default=None, examples=["balanced"])
    """Weight of each class, the paper's alpha, or `balanced`, as for `cross_entropy`."""


class OwnLoss(Section):
    """A loss of your own."""

    open_names = OWN_NAME

    name: str = Field(examples=["my_losses:Poly1"], json_schema_extra={"pattern": f"^{OWN_NAME}$"})
    """`module:callable`, called with `args`. It returns the loss: a `torch.nn.Module` or a
    function."""
    args: Arguments = Field(default={}, examples=[{"epsilon": 1.0}])
    """Keywords of the callable."""


LossConfig = Annotated[
    CrossEntropyLoss
    | NLLLoss
    | PlainLoss
    | SmoothL1Loss
    | BCEWithLogitsLoss
    | KLDivLoss
    | FocalLoss
    | OwnLoss,
    ByName("loss", default="cross_entropy"),
]
