"""The sections whose keys depend on their `name`: dataset, loss, optimizer and scheduler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from trainable.config.schema import ByName, Items, Section

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


# ---------------------------------------------------------------------------- dataset


class _Dataset(Section):
    name: str
    root: str = "./data"
    """Where data lies or is downloaded to; relative to the working directory."""
    download: bool = True
    """Download what is missing."""
    num_workers: int = Field(default=4, ge=0)
    """Loader processes for data that does not fit in memory; never more than the CPUs given."""
    val_split: Fraction | None = None
    """Share of the training set held out for validation; null means none."""
    seed: int = Field(default=42, ge=0, lt=2**63)
    """Seed of that split."""
    augment: bool = True
    """Random crops, and horizontal flips where a mirrored image keeps its class."""


class BuiltinDataset(_Dataset):
    """A data set whose shape and classes are known by its name."""

    name: Literal["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]


class ImageFolderDataset(_Dataset):
    """The user's own images: `root/train/CLASS/*`, `root/test/CLASS/*` (or `root/val`)."""

    name: Literal["image_folder"]
    image_size: int = Field(default=64, ge=8, le=1024)
    """Images are resized and cropped to this height and width, in pixels."""


class SyntheticDataset(_Dataset):
    """Random images of a stated shape, for throughput."""

    name: Literal["synthetic"]
    shape: Items[PositiveInt] = Field(default=(3, 32, 32), min_length=3, max_length=3)
    """Channels, height, width."""
    num_classes: int = Field(default=10, ge=2)
    num_train: PositiveInt = 50000
    num_test: PositiveInt = 10000


DatasetConfig = Annotated[
    BuiltinDataset | ImageFolderDataset | SyntheticDataset, ByName("dataset")
]


# ---------------------------------------------------------------------------- loss


class CrossEntropyLoss(Section):
    """Softmax cross-entropy on logits."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, le=1)
    weight: Items[NonNegative] | None = None
    """One weight a class."""
    ignore_index: int = -100


class NLLLoss(Section):
    """Negative log likelihood of the log-softmax of the logits."""

    name: Literal["nll"]
    weight: Items[NonNegative] | None = None
    ignore_index: int = -100


class PlainLoss(Section):
    """The losses without keys.

    `mse` and `l1` against one-hot targets, `bce` on the sigmoid of the logits, `sqr_hinge` with
    targets -1/+1.
    """

    name: Literal["bce", "l1", "mse", "sqr_hinge"]


class SmoothL1Loss(Section):
    """Huber-like loss against one-hot targets."""

    name: Literal["smooth_l1"]
    beta: Positive = 1.0


class BCEWithLogitsLoss(Section):
    """Binary cross-entropy on logits against one-hot targets."""

    name: Literal["bce_with_logits"]
    pos_weight: Items[NonNegative] | None = None
    """One weight a class for its positive examples."""


class KLDivLoss(Section):
    """Kullback-Leibler divergence from the one-hot targets to the softmax of the logits."""

    name: Literal["kl_div"]
    reduction: Literal["batchmean", "mean", "sum"] = "batchmean"
    log_target: bool = False


LossConfig = Annotated[
    CrossEntropyLoss | NLLLoss | PlainLoss | SmoothL1Loss | BCEWithLogitsLoss | KLDivLoss,
    ByName("loss", default="cross_entropy"),
]


# ---------------------------------------------------------------------------- optimizer


class SGDOptimizer(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    learning_rate: Positive
    weight_decay: NonNegative = 0.0
    momentum: Beta = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGDOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found 0")
        return self


class AdamOptimizer(Section):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"]
    learning_rate: Positive
    weight_decay: NonNegative = 0.0
    betas: Items[Beta] = Field(default=(0.9, 0.999), min_length=2, max_length=2)
    eps: Positive = 1e-8


class AdamWOptimizer(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"]
    learning_rate: Positive
    weight_decay: NonNegative = 0.01
    betas: Items[Beta] = Field(default=(0.9, 0.999), min_length=2, max_length=2)
    eps: Positive = 1e-8


OptimizerConfig = Annotated[SGDOptimizer | AdamOptimizer | AdamWOptimizer, ByName("optimizer")]


# ---------------------------------------------------------------------------- lr schedule


class _Scheduler(Section):
    name: str
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs of linear warm-up before the named schedule."""


class CosineScheduler(_Scheduler):
    """Half a cosine from the learning rate down to `eta_min`."""

    name: Literal["cosine"] = "cosine"
    T_max: PositiveInt | None = None
    """Epochs down to `eta_min`; null means `training.epochs - warmup_epochs`."""
    eta_min: NonNegative = 0.0


class StepScheduler(_Scheduler):
    """Times `gamma` every `step_size` epochs."""

    name: Literal["step"]
    step_size: PositiveInt
    gamma: Positive = 0.1


class MultiStepScheduler(_Scheduler):
    """Times `gamma` at each of the `milestones`, in epochs after the warm-up."""

    name: Literal["multistep"]
    milestones: Items[PositiveInt]
    gamma: Positive = 0.1


class ExponentialScheduler(_Scheduler):
    """Times `gamma` every epoch."""

    name: Literal["exponential"]
    gamma: Positive = 0.95


class PlateauScheduler(_Scheduler):
    """Times `factor` when the deciding accuracy (`max`) or loss (`min`) stops improving."""

    name: Literal["plateau"]
    mode: Literal["max", "min"] = "max"
    """`max` watches the accuracy that decides, `min` its loss."""
    factor: Fraction = 0.1
    patience: int = Field(default=10, ge=0)
    """Epochs without improvement that are tolerated."""
    min_lr: NonNegative = 1e-6


class ConstantScheduler(_Scheduler):
    """The learning rate as it is."""

    name: Literal["none"]


SchedulerConfig = Annotated[
    CosineScheduler
    | StepScheduler
    | MultiStepScheduler
    | ExponentialScheduler
    | PlateauScheduler
    | ConstantScheduler,
    ByName("scheduler", default="cosine"),
]
