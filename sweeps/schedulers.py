"""Builds Tune's trial schedulers from the `tune.scheduler` section."""

from __future__ import annotations

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.sections import ASHA, FIFO

TIME_ATTR = "epoch"
"""What schedulers count in. Tune's own `training_iteration` begins again with each process."""


def build_scheduler(
    scheduler: FIFO | ASHA, *, metric: str, mode: str, max_t: int
) -> TrialScheduler:
    """Builds a scheduler with every argument given: Tune's defaults may change.

    Args:
        scheduler: The section.
        metric: The key of a result that trials are compared by.
        mode: `max` or `min`.
        max_t: Epochs that a trial has, where the section does not say.
    """
    if isinstance(scheduler, FIFO):
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=TIME_ATTR,
        metric=metric,
        mode=mode,
        max_t=scheduler.max_t or max_t,
        grace_period=scheduler.grace_period,
        reduction_factor=scheduler.reduction_factor,
        brackets=scheduler.brackets,
        stop_last_trials=True,
    )
