"""Builds Tune's trial schedulers from the `tune.scheduler` section."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import (
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from sweeps.schedulers import pbt
from sweeps.schedulers.hyperband import RungBOHB, RungHyperBand, SeededASHA
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.space.distributions import Choice, Distribution, Normal, Range, sample
from sweeps.space.search_space import Space
from sweeps.spec.schedulers import (
    ASHA,
    FIFO,
    PB2,
    PBT,
    TIME_ATTR,
    BOHBHyperBand,
    HyperBand,
    Median,
    RungRule,
    mutated_keys,
)
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.event_log import EventLog
from sweeps.trials.pause import PauseStopper, PauseSwitch


def build_scheduler(
    section: FIFO | ASHA | HyperBand | BOHBHyperBand | Median | PBT | PB2,
    space: Space,
    *,
    metric: str,
    mode: str,
    max_t: int,
    seed: int = 0,
    rule: RungRule = "shares",
) -> TrialScheduler:
    """Builds a scheduler with every argument given: Tune's defaults may change.

    Args:
        section: The section of the search file.
        space: The search space; PBT and PB2 sample new values from its distributions.
        metric: The key of a result that trials are compared by.
        mode: `max` or `min`.
        max_t: Epochs of a trial, unless the section gives them.
        seed: Seed of what a scheduler chooses by chance.
        rule: How HyperBand's rungs follow from its factor.
    """
    common: dict[str, Any] = {"time_attr": TIME_ATTR, "metric": metric, "mode": mode}
    if isinstance(section, FIFO):
        return FIFOScheduler()
    if isinstance(section, ASHA):
        return SeededASHA(
            seed=seed,
            **common,
            max_t=section.max_t or max_t,
            grace_period=section.grace_period,
            reduction_factor=section.reduction_factor,
            brackets=section.brackets,
            stop_last_trials=True,
        )
    if isinstance(section, HyperBand | BOHBHyperBand):
        kind = RungHyperBand if isinstance(section, HyperBand) else RungBOHB
        return kind(
            rule=rule,
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
    return _build_population(section, space, {**common, "seed": seed})


def build_recording_scheduler(
    spec: SearchSpec, rule: RungRule, log: EventLog, switch: PauseSwitch, stopper: PauseStopper
) -> RecordingScheduler:
    """Builds the scheduler of a sweep as Tune gets it.

    Args:
        spec: The resolved search file.
        rule: How HyperBand's rungs follow from its factor.
        log: The sweep's event log.
        switch: Says whether the sweep is to pause.
        stopper: Gets the number of trials that are still running.
    """
    tune = spec.tune
    inner = build_scheduler(
        tune.scheduler,
        spec.space,
        metric=tune.metric,
        mode=tune.mode,
        max_t=spec.max_epochs,
        seed=tune.seed,
        rule=rule,
    )
    return RecordingScheduler(
        inner,
        log,
        switch,
        stopper,
        spec.logged_metrics,
        mutated_keys(tune.scheduler, tuple(spec.space)),
        saves=spec.training.checkpoint.enabled,
    )


def _build_population(
    section: PBT | PB2, space: Space, common: Mapping[str, Any]
) -> pbt.Population:
    mutated = {
        key: parameter
        for key in mutated_keys(section, tuple(space))
        if isinstance(parameter := space[key], Distribution)
    }
    # Until its model has enough data, PB2 perturbs as PBT does by default.
    explored = section if isinstance(section, PBT) else PBT(name="pbt")
    up, down = explored.perturbation_factors
    kind = pbt.PB2 if isinstance(section, PB2) else pbt.Population
    return kind(
        **common,
        mutated=mutated,
        perturbation_interval=section.perturbation_interval,
        burn_in_period=0,
        hyperparam_mutations={key: _build_mutation(d) for key, d in mutated.items()},
        quantile_fraction=section.quantile_fraction,
        resample_probability=explored.resample_probability,
        perturbation_factors=(up, down),
        custom_explore_fn=_clip_to(mutated),
        log_config=False,
        require_attrs=True,
        synch=False,
    )


def _build_mutation(distribution: Distribution) -> list[Any] | Callable[[], Any]:
    """Builds the argument from which PBT takes a new value: a list of neighbours or a sampler."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    return lambda: sample(distribution, np.random.default_rng(random.getrandbits(64)))


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
