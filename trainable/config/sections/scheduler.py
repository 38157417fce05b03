"""`scheduler`: the learning rate over the training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import ByName, Fraction, Items, NonNegative, Positive, Section


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
