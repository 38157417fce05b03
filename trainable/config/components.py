"""Sections whose keys depend on their `name`: dataset, loss, optimizer and scheduler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainable.config.schema import ByName, Items, Section, UserPath

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
ClassNames = Annotated[Items[str], Field(min_length=2)]


# ---------------------------------------------------------------------------- dataset


class _Dataset(Section):
    name: str
    root: UserPath = Field(
        default="./data", examples=["/data/images"], json_schema_extra={"format": "path"}
    )
    """Directory of the data, also for downloads."""
    download: bool = Field(default=True, examples=[False])
    """Download missing files."""
    num_workers: int = Field(default=4, ge=0, examples=[8])
    """Loader processes of `image_folder`, at most the trial's CPUs; none where shared memory
    (`/dev/shm`) is too small for them. Other data sets are kept in the device's memory and use
    none."""
    val_split: Fraction | None = Field(default=None, examples=[0.1])
    """Share of every class of the training set held out for validation. `null` holds out none, and
    the test set decides, unless `image_folder` has a folder of its own for validation."""
    seed: int = Field(default=42, ge=0, lt=2**63, examples=[7])
    """Seed of that split, and of the images of `synthetic`; the same on every machine."""
    augment: bool = Field(default=True, examples=[False])
    """Training images are padded with zeros, cropped at a random place and, where a mirrored
    image keeps its class, flipped with probability 1/2. `image_folder`: a random crop of random
    size and aspect ratio, and the flip."""


class BuiltinDataset(_Dataset):
    """Built-in data set with a known shape and known classes."""

    name: Literal["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]


class ImageFolderDataset(_Dataset):
    """Images in class folders: `root/train/CLASS/*`, `root/test/CLASS/*`, `root/val/CLASS/*`."""

    name: Literal["image_folder"]
    image_size: int = Field(default=64, ge=8, le=1024, examples=[224])
    """Height and width that images are cropped to."""
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. `null` takes the folders of `root/train`
    by name. A training records them here; folders with other names are then refused."""

    @field_validator("classes")
    @classmethod
    def _check_unique(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in dict.fromkeys(classes or ()) if (classes or ()).count(name) > 1]
        if twice:
            raise ValueError(f"must name every class once, found twice: {', '.join(twice)}")
        return classes


class SyntheticDataset(_Dataset):
    """Random images of a stated shape, for throughput."""

    name: Literal["synthetic"]
    shape: Items[PositiveInt] = Field(
        default=(3, 32, 32), min_length=3, max_length=3, examples=[[1, 28, 28]]
    )
    """Channels, height and width in pixels."""
    num_classes: int = Field(default=10, ge=2, examples=[100])
    """Number of classes."""
    num_train: PositiveInt = Field(default=50000, examples=[10000])
    """Number of training images."""
    num_test: PositiveInt = Field(default=10000, examples=[1000])
    """Number of test images."""


DatasetConfig = Annotated[
    BuiltinDataset | ImageFolderDataset | SyntheticDataset, ByName("dataset")
]


# ---------------------------------------------------------------------------- loss


class CrossEntropyLoss(Section):
    """Softmax cross-entropy on logits."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, le=1, examples=[0.1])
    """Share of the target spread over all classes."""
    weight: Items[NonNegative] | None = Field(default=None, examples=[[1.0, 2.5]])
    """Weight of each class."""
    ignore_index: int = Field(default=-100, examples=[0])
    """Label that is ignored."""


class NLLLoss(Section):
    """Negative log likelihood of the log-softmax of the logits."""

    name: Literal["nll"]
    weight: Items[NonNegative] | None = Field(default=None, examples=[[1.0, 2.5]])
    """Weight of each class."""
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


LossConfig = Annotated[
    CrossEntropyLoss | NLLLoss | PlainLoss | SmoothL1Loss | BCEWithLogitsLoss | KLDivLoss,
    ByName("loss", default="cross_entropy"),
]


# ---------------------------------------------------------------------------- optimizer


class SGDOptimizer(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    learning_rate: Positive = Field(examples=[0.1])
    """Base learning rate of the schedule."""
    weight_decay: NonNegative = Field(default=0.0, examples=[5e-4])
    """Weight decay coefficient."""
    momentum: Beta = Field(default=0.9, examples=[0.95])
    """Momentum factor."""
    nesterov: bool = Field(default=False, examples=[True])
    """Nesterov momentum; needs a momentum above 0."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> SGDOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found 0")
        return self


class AdamOptimizer(Section):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"]
    learning_rate: Positive = Field(examples=[0.1])
    """Base learning rate of the schedule."""
    weight_decay: NonNegative = Field(default=0.0, examples=[5e-4])
    """Weight decay coefficient."""
    betas: Items[Beta] = Field(
        default=(0.9, 0.999), min_length=2, max_length=2, examples=[[0.9, 0.99]]
    )
    """Decay rates of the running means of the gradient and of its square."""
    eps: Positive = Field(default=1e-8, examples=[1e-06])
    """Added to the denominator for numerical stability."""


class AdamWOptimizer(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"]
    learning_rate: Positive = Field(examples=[0.1])
    """Base learning rate of the schedule."""
    weight_decay: NonNegative = Field(default=0.01, examples=[0.05])
    """Weight decay coefficient."""
    betas: Items[Beta] = Field(
        default=(0.9, 0.999), min_length=2, max_length=2, examples=[[0.9, 0.99]]
    )
    """Decay rates of the running means of the gradient and of its square."""
    eps: Positive = Field(default=1e-8, examples=[1e-06])
    """Added to the denominator for numerical stability."""


OptimizerConfig = Annotated[SGDOptimizer | AdamOptimizer | AdamWOptimizer, ByName("optimizer")]


# ---------------------------------------------------------------------------- lr schedule


class _Scheduler(Section):
    name: str
    warmup_epochs: int = Field(default=0, ge=0, examples=[3])
    """Epochs of linear warm-up; fewer than `training.epochs`."""


class CosineScheduler(_Scheduler):
    """Half a cosine from the learning rate down to `eta_min`."""

    name: Literal["cosine"] = "cosine"
    T_max: PositiveInt | None = Field(default=None, examples=[50])
    """Epochs until `eta_min` is reached; `null` means `training.epochs - warmup_epochs`."""
    eta_min: NonNegative = Field(default=0.0, examples=[1e-05])
    """Final learning rate."""


class StepScheduler(_Scheduler):
    """Multiplies the rate by `gamma` every `step_size` epochs."""

    name: Literal["step"]
    step_size: PositiveInt = Field(examples=[20])
    """Epochs between steps."""
    gamma: Positive = Field(default=0.1, examples=[0.5])
    """Factor by which the rate is multiplied at each step."""


class MultiStepScheduler(_Scheduler):
    """Multiplies the rate by `gamma` at each of the `milestones`."""

    name: Literal["multistep"]
    milestones: Items[PositiveInt] = Field(examples=[[30, 45]])
    """Epochs after the warm-up at which the rate is multiplied by `gamma`."""
    gamma: Positive = Field(default=0.1, examples=[0.2])
    """Factor by which the rate is multiplied."""


class ExponentialScheduler(_Scheduler):
    """Multiplies the rate by `gamma` every epoch."""

    name: Literal["exponential"]
    gamma: Positive = Field(default=0.95, examples=[0.9])
    """Factor by which the rate is multiplied every epoch."""


class PlateauScheduler(_Scheduler):
    """Multiplies the rate by `factor` when accuracy or loss stops improving."""

    name: Literal["plateau"]
    mode: Literal["max", "min"] = Field(default="max", examples=["min"])
    """`max` watches the validation accuracy, `min` the validation loss (the test set's without a
    `val_split`)."""
    factor: Fraction = Field(default=0.1, examples=[0.5])
    """Factor by which the rate is multiplied when nothing has improved."""
    patience: int = Field(default=10, ge=0, examples=[5])
    """Epochs without improvement that are tolerated."""
    min_lr: NonNegative = Field(default=1e-6, examples=[1e-05])
    """Lower bound of the rate."""


class ConstantScheduler(_Scheduler):
    """Constant learning rate."""

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
