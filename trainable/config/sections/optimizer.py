"""`optimizer`: the rule by which a step changes the weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainable.config.schema import ByName, Items, NonNegative, Positive, Section

Beta = Annotated[float, Field(ge=0, lt=1)]


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
