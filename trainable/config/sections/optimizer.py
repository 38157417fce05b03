"""`optimizer`: the rule by which a step changes the weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from trainable.config.schema import Arguments, ByName, Items, NonNegative, Positive, Section

Beta = Annotated[float, Field(ge=0, lt=1)]

OTHER_NAME = r"(?!(sgd|adam|adamw)$)(timm/)?[a-z][a-z0-9_]*"
"""Regular expression for the names of other optimizers of torch and timm."""

_KRON = (
    "its step draws from a stream of random numbers that no checkpoint holds, and compiles code"
)
REFUSED = {
    "adahessian": "it draws random numbers that no checkpoint holds and needs second derivatives",
    "kron": _KRON,
    "kronc": _KRON,
    "kronw": _KRON,
    "lbfgs": "its step evaluates the loss several times and keeps a single parameter group",
    "sparseadam": "it takes sparse gradients only",
}
"""Name of an optimizer that no training can use -> why."""
SCHEDULE_FREE = (
    "schedule-free optimizers evaluate other weights than those they train, with which the "
    "statistics of BatchNorm do not agree; ema.enabled averages the weights of any optimizer"
)


class BaseOptimizer(Section):
    """The keys that all optimizers have."""

    name: str
    learning_rate: Positive = Field(examples=[0.1])
    """Base learning rate of the schedule."""
    weight_decay: NonNegative = Field(default=0.0, examples=[5e-4])
    """Weight decay coefficient."""
    layer_decay: float = Field(default=1.0, gt=0, le=1, examples=[0.75])
    """Factor of the learning rate from each layer to the one before it: the last layer and the
    classifier have the learning rate of the schedule, the first layer the smallest."""
    head_lr_factor: Positive = Field(default=1.0, examples=[10.0])
    """Factor of the classifier's learning rate. A new classifier on pretrained weights learns
    better with a higher one than the rest."""
    decay_norm_and_bias: bool = Field(default=True, examples=[False])
    """Whether weight decay is applied to parameters with one dimension, which are biases and the
    weights of normalisations, and to those that a model of timm excludes, e.g. positional
    embeddings."""
    args: Arguments = Field(default={}, examples=[{"amsgrad": True}])
    """More arguments of the optimizer's class, by name. Each can be swept by its dotted key, e.g.
    `optimizer.args.amsgrad`. Another `name` in a space or with `--set` drops them."""


class SGDOptimizer(BaseOptimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    momentum: Beta = Field(default=0.9, examples=[0.95])
    """Momentum factor."""
    nesterov: bool = Field(default=False, examples=[True])
    """Nesterov momentum; needs a momentum above 0."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> SGDOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found 0")
        return self


class AdamOptimizer(BaseOptimizer):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"]
    betas: Items[Beta] = Field(
        default=(0.9, 0.999), min_length=2, max_length=2, examples=[[0.9, 0.99]]
    )
    """Decay rates of the running means of the gradient and of its square."""
    eps: Positive = Field(default=1e-8, examples=[1e-06])
    """Added to the denominator for numerical stability."""


class AdamWOptimizer(BaseOptimizer):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"]
    weight_decay: NonNegative = Field(default=0.01, examples=[0.05])
    """Weight decay coefficient."""
    betas: Items[Beta] = Field(
        default=(0.9, 0.999), min_length=2, max_length=2, examples=[[0.9, 0.99]]
    )
    """Decay rates of the running means of the gradient and of its square."""
    eps: Positive = Field(default=1e-8, examples=[1e-06])
    """Added to the denominator for numerical stability."""


class OtherOptimizer(BaseOptimizer):
    """Any other optimizer of torch or timm, by its name there in lower case.

    Its own arguments stand in `args`.
    """

    open_names = OTHER_NAME
    name: str = Field(examples=["lamb"], json_schema_extra={"pattern": f"^{OTHER_NAME}$"})

    @field_validator("name")
    @classmethod
    def _refuse(cls, name: str) -> str:
        plain = name.removeprefix("timm/")
        is_schedule_free = "schedulefree" in plain.replace("_", "")
        reason = SCHEDULE_FREE if is_schedule_free else REFUSED.get(plain)
        if reason is not None:
            raise ValueError(f'cannot be "{name}": {reason}')
        return name


OptimizerConfig = Annotated[
    SGDOptimizer | AdamOptimizer | AdamWOptimizer | OtherOptimizer, ByName("optimizer")
]
