"""The schedulers of the search file: every key of `tune.scheduler`, and its default."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import ByName, Items, Section

Factor = Annotated[float, Field(gt=0)]

ROUNDING_ERROR = 1e-9
"""Largest error of an epoch that is computed from powers of a factor."""


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
    `augment`, `ema.decay`, `loss.gamma`, `loss.label_smoothing`, `optimizer.decay_norm_and_bias`,
    `optimizer.eps`, `optimizer.head_lr_factor`, `optimizer.layer_decay`,
    `optimizer.learning_rate`, `optimizer.momentum`, `optimizer.weight_decay`,
    `training.batch_size`, `training.clip_grad` that the space has."""
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
    "augment.*",
    "ema.decay",
    "loss.gamma",
    "loss.label_smoothing",
    "optimizer.decay_norm_and_bias",
    "optimizer.eps",
    "optimizer.head_lr_factor",
    "optimizer.layer_decay",
    "optimizer.learning_rate",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "training.batch_size",
    "training.clip_grad",
)
"""Keys that a trial can change during training and keep its weights and optimizer state;
`augment.*` are all of that section."""


def is_mutable(key: str) -> bool:
    """Returns whether a key of a training config is one of `MUTABLE_KEYS`."""
    return key in MUTABLE_KEYS or key.startswith("augment.")


def mutated_keys(scheduler: Section, space: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that a scheduler changes during training; empty unless it is PBT or PB2."""
    if isinstance(scheduler, PBT):
        keys = scheduler.hyperparam_mutations
    elif isinstance(scheduler, PB2):
        keys = scheduler.hyperparam_bounds
    else:
        return ()
    return keys if keys is not None else tuple(key for key in space if is_mutable(key))


TIME_ATTR = "epoch"
"""Key of a result that schedulers count time in.

Tune's own `training_iteration` starts again with each process."""

RungRule = Literal["multiples", "shares"]
"""How HyperBand's rungs follow from its `reduction_factor`. `shares`: each is the last epoch
divided by a power of the factor. `multiples`: each is the one before times the factor, so that the
last may lie before the last epoch; sweeps of earlier versions keep these."""


def scheduler_rungs(scheduler: Section, epochs: int, rule: RungRule = "shares") -> list[int]:
    """Returns the epochs before the last one at which a scheduler compares trials.

    Args:
        scheduler: Its section; empty for one without rungs.
        epochs: The epochs of a trial that is not stopped.
        rule: The rule for HyperBand.
    """
    if isinstance(scheduler, ASHA):
        last = min(epochs, scheduler.max_t or epochs)
        rungs = [asha_rungs(scheduler, last, s) for s in range(scheduler.brackets)]
    elif isinstance(scheduler, HyperBand | BOHBHyperBand):
        factor, last = scheduler.reduction_factor, min(epochs, scheduler.max_t or epochs)
        brackets = hyperband_brackets(factor, last)
        rungs = [hyperband_rungs(factor, last, halvings, rule) for halvings in brackets]
    else:
        return []
    return sorted({epoch for bracket in rungs for epoch in bracket if epoch < last})


def hyperband_brackets(factor: float, last_epoch: int) -> list[int]:
    """Returns the number of halvings of each bracket of HyperBand, the fewest first.

    They are those of `ray.tune.schedulers.hyperband`.
    """
    kinds = round(math.log(last_epoch) / math.log(factor)) + 1
    return [halvings for halvings in range(kinds) if int(last_epoch * factor**-halvings)]


def hyperband_rungs(
    factor: float, last_epoch: int, halvings: int, rule: RungRule = "shares"
) -> list[int]:
    """Returns the epoch of each halving of one of HyperBand's brackets, and of its end.

    Args:
        factor: The `reduction_factor`.
        last_epoch: The last epoch.
        halvings: The number of halvings.
        rule: See `RungRule`.
    """
    if rule == "shares":
        ends = range(halvings, -1, -1)
        return [int(last_epoch * factor**-left + ROUNDING_ERROR) for left in ends]
    rungs = [int(last_epoch * factor**-halvings)]
    for _ in range(halvings):
        rungs.append(int(min(rungs[-1] * factor, last_epoch)))
    return rungs


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
    ahead = [first * factor ** (k + bracket) for k in range(count)]
    rungs = []
    for epoch in range(1, last_epoch):
        # Ray compares a trial at one rung per epoch, the highest that it has not been compared at.
        reached = [rung for rung in ahead if rung <= epoch]
        if reached:
            ahead.remove(reached[-1])
            rungs.append(epoch)
    return rungs
