"""The schedulers of the search file: every key of `tune.scheduler`, and its default."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import ByName, Items, Section

Factor = Annotated[float, Field(gt=0)]


class FIFO(Section):
    """Every trial runs all its epochs."""

    name: Literal["fifo"] = "fifo"


class ASHA(Section):
    """Asynchronous successive halving (Li et al., MLSys 2020): stops the worse trials early."""

    name: Literal["asha"]
    grace_period: PositiveInt = Field(default=1, examples=[2])
    """Epochs that every trial gets."""
    reduction_factor: float = Field(default=4, gt=1, examples=[3])
    """One trial in this many continues at each rung."""
    brackets: PositiveInt = Field(default=1, examples=[2])
    """Ladders of rungs that trials are spread over. Each begins `reduction_factor` times later
    than the one before, and must have a rung."""
    max_t: PositiveInt | None = Field(default=None, examples=[9])
    """Epoch at which a trial ends, at most `training.epochs`, which is also what null means."""


class HyperBand(Section):
    """HyperBand (Li et al., JMLR 2018): halves brackets of trials that wait for one another."""

    name: Literal["hyperband"]
    reduction_factor: float = Field(default=3, gt=1, examples=[4])
    """One trial in this many continues at each halving."""
    max_t: PositiveInt | None = Field(default=None, examples=[9])
    """Epoch at which a trial ends, at most `training.epochs`, which is also what null means."""


class BOHBHyperBand(Section):
    """BOHB's HyperBand (Falkner et al., ICML 2018): large brackets first, filled as slots free.

    Trials are created one after the other, so that a `search_alg` learns from the earlier ones.
    """

    name: Literal["bohb"]
    reduction_factor: float = Field(default=3, gt=1, examples=[4])
    """One trial in this many continues at each halving."""
    max_t: PositiveInt | None = Field(default=None, examples=[9])
    """Epoch at which a trial ends, at most `training.epochs`, which is also what null means."""


class Median(Section):
    """Median stopping (Golovin et al., KDD 2017): stops trials below the others' average."""

    name: Literal["median"]
    grace_period: PositiveInt = Field(default=1, examples=[3])
    """Epochs that every trial gets."""
    min_samples_required: PositiveInt = Field(default=3, examples=[5])
    """Other trials that must have reached the same epoch; below `num_samples` if it is given."""


class _Population(Section):
    perturbation_interval: PositiveInt = Field(default=2, examples=[3])
    """Epochs between exploits, below `training.epochs`."""
    quantile_fraction: float = Field(default=0.25, gt=0, le=0.5, examples=[0.34])
    """Share of the population that is replaced: the worst trials copy trials among the best."""


class PBT(_Population):
    """Population-based training (Jaderberg et al., 2017): weak trials copy strong ones."""

    name: Literal["pbt"]
    hyperparam_mutations: Items[str] | None = Field(
        default=None, examples=[["optimizer.learning_rate"]]
    )
    """Keys of the space that change during training; null means all that can: those of
    `loss.label_smoothing`, `optimizer.eps`, `optimizer.learning_rate`, `optimizer.momentum`,
    `optimizer.weight_decay`, `training.batch_size` that the space has."""
    resample_probability: float = Field(default=0.25, ge=0, le=1, examples=[0.1])
    """Probability that a value is drawn again from its distribution instead of perturbed."""
    perturbation_factors: Items[Factor] = Field(
        default=(1.2, 0.8), min_length=2, max_length=2, examples=[[2.0, 0.5]]
    )
    """Factors that a perturbed value is multiplied by; it stays inside its distribution."""


class PB2(_Population):
    """Population-based bandits (Parker-Holder et al., NeurIPS 2020): PBT guided by a model."""

    name: Literal["pb2"]
    hyperparam_bounds: Items[str] | None = Field(
        default=None, examples=[["optimizer.learning_rate"]]
    )
    """Keys of the space that change between the ends of their distribution, which must be a
    range; null means all that can, as for `pbt`."""


SchedulerConfig = Annotated[
    FIFO | ASHA | HyperBand | BOHBHyperBand | Median | PBT | PB2,
    ByName("scheduler", default="fifo"),
]

MUTABLE_KEYS = (
    "loss.label_smoothing",
    "optimizer.eps",
    "optimizer.learning_rate",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "training.batch_size",
)
"""Keys that a trial can change during training and keep its weights and optimizer state."""


def mutated_keys(scheduler: Section, space: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that a scheduler changes during training; empty unless it is PBT or PB2."""
    if isinstance(scheduler, PBT):
        keys = scheduler.hyperparam_mutations
    elif isinstance(scheduler, PB2):
        keys = scheduler.hyperparam_bounds
    else:
        return ()
    return keys if keys is not None else tuple(key for key in space if key in MUTABLE_KEYS)


def asha_rungs(scheduler: ASHA, last_epoch: int, bracket: int) -> list[int]:
    """The rungs of a bracket, as epochs before the last one.

    They are those of `ray.tune.schedulers.async_hyperband`.

    Args:
        scheduler: The section of ASHA.
        last_epoch: The last epoch.
        bracket: The 0-based number of the bracket.
    """
    import numpy as np  # loads slowly

    first, factor = scheduler.grace_period, scheduler.reduction_factor
    count = int(np.log(last_epoch / first) / np.log(factor) - bracket + 1)
    rungs = (math.ceil(first * factor ** (k + bracket)) for k in range(count))
    return [epoch for epoch in rungs if epoch < last_epoch]
