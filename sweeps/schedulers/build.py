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
"""What schedulers count in. Tune's own `training_iteration` begins again with each process."""


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
        section: What the search file says.
        space: Whose distributions PBT and PB2 draw new values from.
        metric: The key of a result that trials are compared by.
        mode: `max` or `min`.
        max_t: Epochs that a trial has, where the section does not say.
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
        # A trial that is live has its place: one that yields to others would only lose time.
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
    entries = {key: space[key] for key in mutated_keys(section, tuple(space))}
    mutated = {key: each for key, each in entries.items() if isinstance(each, Distribution)}
    shared: dict[str, Any] = {
        **common,
        "perturbation_interval": section.perturbation_interval,
        "quantile_fraction": section.quantile_fraction,
        "custom_explore_fn": _within(mutated),
        "log_config": False,
        "require_attrs": True,
        "synch": False,
    }
    if isinstance(section, PB2):
        bounds: dict[str, Any] = {key: list(found.corners) for key, found in mutated.items()}
        from ray.tune.schedulers import pb2  # loads scikit-learn, for which nobody else waits

        return pb2.PB2(**shared, hyperparam_bounds=bounds)
    up, down = section.perturbation_factors
    return PopulationBasedTraining(
        **shared,
        burn_in_period=0,
        hyperparam_mutations={key: _mutation(found) for key, found in mutated.items()},
        resample_probability=section.resample_probability,
        perturbation_factors=(up, down),
    )


def _mutation(distribution: Distribution) -> list[Any] | Callable[[], Any]:
    """What PBT takes a new value from: neighbours in a list, or a draw."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    return lambda: sample(distribution, np.random.default_rng())


def _nearest(distribution: Distribution, value: float) -> float:
    """The value that a range can draw which is nearest to a number."""
    if isinstance(distribution, Range | Normal) and distribution.q is not None:
        nearest: float = distribution.from_unit(distribution.to_unit(value))
        return nearest
    low, high = distribution.corners
    inside = min(max(value, low), high)
    return round(inside) if isinstance(low, int) else float(inside)


def _within(mutated: Mapping[str, Distribution]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Keeps changed values inside their distribution, and of its type."""

    def clip(config: dict[str, Any]) -> dict[str, Any]:
        for key, distribution in mutated.items():
            if not isinstance(distribution, Choice):
                config[key] = _nearest(distribution, config[key])
        return config

    return clip
