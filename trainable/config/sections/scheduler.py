"""`scheduler`: the learning rate over the training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import ByName, Fraction, Items, NonNegative, Positive, Section


class _Scheduler(Section):
    name: str
    on: Literal["epoch", "step"] = Field(default="epoch", examples=["step"])
    """Whether the rate changes at every epoch or at every step. All keys but `warmup_steps` count
    epochs in both."""
    warmup_epochs: int = Field(default=0, ge=0, examples=[3])
    """Epochs of linear warm-up; fewer than `training.epochs`."""
    warmup_steps: int = Field(default=0, ge=0, examples=[500])
    """Steps of linear warm-up instead of `warmup_epochs`; needs `on: step`."""

    def check_steps(self) -> None:
        """Checks the keys that count steps.

        Raises:
            ValueError: They contradict others; the text begins with the dotted key.
        """
        if self.on == "step" and self.name == "plateau":
            raise ValueError(
                'scheduler.on must be "epoch" for plateau, which looks at the metric of an epoch, '
                'found "step"'
            )
        if self.warmup_steps and self.on == "epoch":
            raise ValueError(
                f"scheduler.warmup_steps needs scheduler.on: step, found {self.warmup_steps}"
            )
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError(
                f"scheduler.warmup_steps must be 0 with warmup_epochs ({self.warmup_epochs}), "
                f"found {self.warmup_steps}"
            )


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
    `val_split`), or in its place `checkpoint.monitor`, where that has this mode."""
    factor: Fraction = Field(default=0.1, examples=[0.5])
    """Factor by which the rate is multiplied when nothing has improved."""
    patience: int = Field(default=10, ge=0, examples=[5])
    """Epochs without improvement that are tolerated."""
    min_lr: NonNegative = Field(default=1e-6, examples=[1e-05])
    """Lower bound of the rate."""


class CosineRestartsScheduler(_Scheduler):
    """Cosines from the learning rate down to `eta_min`, one after another."""

    name: Literal["cosine_restarts"]
    T_0: PositiveInt = Field(examples=[10])
    """Epochs of the first cosine."""
    T_mult: PositiveInt = Field(default=1, examples=[2])
    """Factor of the length from each cosine to the next."""
    eta_min: NonNegative = Field(default=0.0, examples=[1e-05])
    """Final learning rate of each cosine."""
    decay: float = Field(default=1.0, gt=0, le=1, examples=[0.5])
    """Factor by which the rate at the start of a cosine is multiplied at each restart."""


class OneCycleScheduler(_Scheduler):
    """Up to the learning rate and down again, in one cycle over the training (Smith, 2018)."""

    name: Literal["one_cycle"]
    pct_start: Fraction = Field(default=0.3, examples=[0.2])
    """Share of the training in which the rate rises."""
    div_factor: float = Field(default=25.0, ge=1, examples=[10.0])
    """The first rate is `learning_rate / div_factor`."""
    final_div_factor: float = Field(default=1e4, ge=1, examples=[1000.0])
    """The last rate is the first one divided by this."""
    anneal_strategy: Literal["cos", "linear"] = Field(default="cos", examples=["linear"])
    """The form of both parts."""


class PolynomialScheduler(_Scheduler):
    """Falls as a power of the remaining share of the training."""

    name: Literal["polynomial"]
    power: Positive = Field(default=1.0, examples=[2.0])
    """The exponent."""
    T_max: PositiveInt | None = Field(default=None, examples=[50])
    """Epochs until `eta_min` is reached; `null` means `training.epochs - warmup_epochs`."""
    eta_min: NonNegative = Field(default=0.0, examples=[1e-05])
    """Final learning rate."""


class LinearScheduler(_Scheduler):
    """A straight line from the learning rate to `end_factor` times it."""

    name: Literal["linear"]
    end_factor: float = Field(default=0.0, ge=0, le=1, examples=[0.1])
    """Final rate, relative to the learning rate."""
    T_max: PositiveInt | None = Field(default=None, examples=[50])
    """Epochs until the final rate is reached; `null` means `training.epochs - warmup_epochs`."""


class InverseSqrtScheduler(_Scheduler):
    """Falls with the square root of time."""

    name: Literal["inverse_sqrt"]
    timescale: Positive = Field(default=1.0, examples=[5.0])
    """Epochs: the rate is halved after three times as many."""


class ConstantScheduler(_Scheduler):
    """Constant learning rate."""

    name: Literal["none"]


SchedulerConfig = Annotated[
    CosineScheduler
    | StepScheduler
    | MultiStepScheduler
    | ExponentialScheduler
    | PlateauScheduler
    | CosineRestartsScheduler
    | OneCycleScheduler
    | PolynomialScheduler
    | LinearScheduler
    | InverseSqrtScheduler
    | ConstantScheduler,
    ByName("scheduler", default="cosine"),
]
