"""The schedulers of the search file: every key of `tune.scheduler`, and their defaults."""

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
    grace_period: PositiveInt = 1
    """Epochs that every trial gets."""
    reduction_factor: float = Field(default=4, gt=1)
    """One trial in this many goes on at each rung."""
    brackets: PositiveInt = 1
    """Ladders of rungs, each beginning `reduction_factor` times later than the one before."""
    max_t: PositiveInt | None = None
    """Epochs at which a trial ends; null means `training.epochs`."""


class HyperBand(Section):
    """HyperBand (Li et al., JMLR 2018): halves brackets of trials that wait for one another."""

    name: Literal["hyperband"]
    reduction_factor: float = Field(default=3, gt=1)
    """One trial in this many goes on at each halving."""
    max_t: PositiveInt | None = None
    """Epochs at which a trial ends; null means `training.epochs`."""


class BOHBHyperBand(Section):
    """BOHB's HyperBand (Falkner et al., ICML 2018): large brackets first, filled as slots free.

    Trials are made one after the other, so that a search_alg learns from those before.
    """

    name: Literal["bohb"]
    reduction_factor: float = Field(default=3, gt=1)
    """One trial in this many goes on at each halving."""
    max_t: PositiveInt | None = None
    """Epochs at which a trial ends; null means `training.epochs`."""


class Median(Section):
    """Median stopping (Golovin et al., KDD 2017): stops trials below the others' average."""

    name: Literal["median"]
    grace_period: PositiveInt = 1
    """Epochs that every trial gets."""
    min_samples_required: PositiveInt = 3
    """Other trials that must have come as far."""


class _Population(Section):
    perturbation_interval: PositiveInt = 2
    """Epochs between looks at whether a trial takes over a better one."""
    quantile_fraction: float = Field(default=0.25, gt=0, le=0.5)
    """The worst share of the population takes over from the best."""


class PBT(_Population):
    """Population-based training (Jaderberg et al., 2017): weak trials take over strong ones."""

    name: Literal["pbt"]
    hyperparam_mutations: Items[str] | None = None
    """Keys of the space that change; null means all that can change in mid-training."""
    resample_probability: float = Field(default=0.25, ge=0, le=1)
    """How often a value is drawn anew rather than perturbed."""
    perturbation_factors: Items[Factor] = Field(default=(1.2, 0.8), min_length=2, max_length=2)
    """What a perturbed value is multiplied by."""


class PB2(_Population):
    """Population-based bandits (Parker-Holder et al., NeurIPS 2020): PBT guided by a model."""

    name: Literal["pb2"]
    hyperparam_bounds: Items[str] | None = None
    """Keys of the space that change, within their bounds; null means all that can."""


SchedulerConfig = Annotated[
    FIFO | ASHA | HyperBand | BOHBHyperBand | Median | PBT | PB2,
    ByName("scheduler", default="fifo"),
]

MUTABLE = (
    "loss.label_smoothing",
    "optimizer.eps",
    "optimizer.learning_rate",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "training.batch_size",
)
"""Keys that a trial can change in mid-training and keep its weights and optimizer state."""


def mutated_keys(scheduler: Section, space: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that a scheduler changes in mid-training; none unless it is PBT or PB2."""
    if isinstance(scheduler, PBT):
        named = scheduler.hyperparam_mutations
    elif isinstance(scheduler, PB2):
        named = scheduler.hyperparam_bounds
    else:
        return ()
    return named if named is not None else tuple(key for key in space if key in MUTABLE)


def asha_rungs(scheduler: ASHA, last: int, offset: int) -> list[int]:
    """The rungs of a bracket before the last epoch, as `ray.tune.schedulers.async_hyperband`'s.

    Args:
        scheduler: ASHA's section.
        last: The last epoch.
        offset: 0-based number of the bracket.
    """
    import numpy as np  # loads slowly

    first, factor = scheduler.grace_period, scheduler.reduction_factor
    count = int(np.log(last / first) / np.log(factor) - offset + 1)
    rungs = (math.ceil(first * factor ** (k + offset)) for k in range(count))
    return [epoch for epoch in rungs if epoch < last]
