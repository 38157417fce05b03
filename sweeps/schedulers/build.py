"""Builds Tune's trial schedulers from the `tune.scheduler` section."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.space.distributions import Choice, Distribution, Normal, Range, sample
from sweeps.space.search_space import Space
from sweeps.spec.schedulers import (
    ASHA,
    FIFO,
    PB2,
    PBT,
    BOHBHyperBand,
    HyperBand,
    Median,
    mutated_keys,
)

TIME_ATTR = "epoch"
"""Key of a result that schedulers count time in.

Tune's own `training_iteration` starts again with each process."""


def build_scheduler(
    section: FIFO | ASHA | HyperBand | BOHBHyperBand | Median | PBT | PB2,
    space: Space,
    *,
    metric: str,
    mode: str,
    max_t: int,
) -> TrialScheduler:
    """Builds a scheduler with every argument given: Tune's defaults may change.

    Args:
        section: The section of the search file.
        space: The search space; PBT and PB2 sample new values from its distributions.
        metric: The key of a result that trials are compared by.
        mode: `max` or `min`.
        max_t: Epochs of a trial, unless the section gives them.
    """
    common: dict[str, Any] = {"time_attr": TIME_ATTR, "metric": metric, "mode": mode}
    if isinstance(section, FIFO):
        return FIFOScheduler()
    if isinstance(section, ASHA):
        return ASHAScheduler(
            **common,
            max_t=section.max_t or max_t,
            grace_period=section.grace_period,
            reduction_factor=section.reduction_factor,
            brackets=section.brackets,
            stop_last_trials=True,
        )
    if isinstance(section, HyperBand | BOHBHyperBand):
        kind = HyperBandScheduler if isinstance(section, HyperBand) else HyperBandForBOHB
        return kind(
            **common,
            max_t=section.max_t or max_t,
            reduction_factor=section.reduction_factor,
            stop_last_trials=True,
        )
    if isinstance(section, Median):
        # A live trial has its slot: yielding to other trials would only lose time.
        never: Any = math.inf
        return MedianStoppingRule(
            **common,
            grace_period=section.grace_period,
            min_samples_required=section.min_samples_required,
            min_time_slice=never,
            hard_stop=True,
        )
    return _population_scheduler(section, space, common)


def _population_scheduler(
    section: PBT | PB2, space: Space, common: Mapping[str, Any]
) -> PopulationBasedTraining:
    mutated = {
        key: parameter
        for key in mutated_keys(section, tuple(space))
        if isinstance(parameter := space[key], Distribution)
    }
    shared: dict[str, Any] = {
        **common,
        "perturbation_interval": section.perturbation_interval,
        "quantile_fraction": section.quantile_fraction,
        "custom_explore_fn": _clip_to(mutated),
        "log_config": False,
        "require_attrs": True,
        "synch": False,
    }
    if isinstance(section, PB2):
        bounds: dict[str, Any] = {key: list(d.extremes) for key, d in mutated.items()}
        from ray.tune.schedulers import pb2  # imports scikit-learn, which is slow

        return pb2.PB2(**shared, hyperparam_bounds=bounds)
    up, down = section.perturbation_factors
    return PopulationBasedTraining(
        **shared,
        burn_in_period=0,
        hyperparam_mutations={key: _build_mutation(d) for key, d in mutated.items()},
        resample_probability=section.resample_probability,
        perturbation_factors=(up, down),
    )


def _build_mutation(distribution: Distribution) -> list[Any] | Callable[[], Any]:
    """Builds the argument from which PBT takes a new value: a list of neighbours or a sampler."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    return lambda: sample(distribution, np.random.default_rng())


def _nearest(distribution: Distribution, value: float) -> float:
    """Returns the value of a range that is nearest to a number."""
    if isinstance(distribution, Range | Normal) and distribution.step is not None:
        nearest: float = distribution.from_unit(distribution.to_unit(value))
        return nearest
    low, high = distribution.extremes
    inside = min(max(value, low), high)
    return round(inside) if isinstance(low, int) else float(inside)


def _clip_to(mutated: Mapping[str, Distribution]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Builds a function that keeps mutated values inside their distribution, and of its type."""

    def clip(config: dict[str, Any]) -> dict[str, Any]:
        for key, distribution in mutated.items():
            if not isinstance(distribution, Choice):
                config[key] = _nearest(distribution, config[key])
        return config

    return clip
