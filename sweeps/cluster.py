"""The Ray session: starting one, what it can hold, and what one trial takes of it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import ray

from sweeps.console import ray_is_shown
from sweeps.layout import SweepError
from sweeps.placement import places
from sweeps.spec import Resources

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Keeps Tune quiet, and its snapshots rare: they are only a cache here. What the user has set
stays."""


def start_ray() -> None:
    """Starts Ray on this machine, or joins the cluster that `RAY_ADDRESS` names.

    A session that is already there is used as it is.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # It names the trials that did not end well, which the sweep has said already.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        # Without an installation the workers would find `trainable` only from this directory.
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    ray.init(
        address=os.environ.get("RAY_ADDRESS", "local"),
        include_dashboard=False,
        logging_level=logging.INFO if ray_is_shown() else logging.ERROR,
        log_to_driver=ray_is_shown(),
    )


def trial_share(resources: Resources) -> tuple[dict[str, float], str | None]:
    """What one trial takes of the cluster, and what is to be said about it.

    On a cluster without any GPU the trials train on the CPU.

    Raises:
        SweepError: The cluster can never hold one trial.
    """
    machines = _machines()
    share = {"cpu": float(resources.cpu), "gpu": float(resources.gpu)}
    notice = None
    if share["gpu"] and not any(machine.get("GPU") for machine in machines):
        notice = f"no GPU in this cluster: resources.gpu {share['gpu']:g} is taken as 0"
        share["gpu"] = 0.0
    for name, key in (("CPU", "cpu"), ("GPU", "gpu")):
        largest = max((machine.get(name, 0.0) for machine in machines), default=0.0)
        if share[key] > largest:
            raise SweepError(
                f"resources.{key}: one trial asks for {share[key]:g}, "
                f"the cluster has {largest:g} on one machine"
            )
    if not any(places(share, machine) for machine in machines):
        raise SweepError(
            f"resources: one trial asks for {share['cpu']:g} CPUs and {share['gpu']:g} GPUs, "
            "no machine of the cluster has both"
        )
    return share, notice


def slots(share: dict[str, float]) -> int:
    """How many trials the cluster holds at once; one is never spread over machines or cards."""
    return max(1, sum(places(share, machine) for machine in _machines()))


def _machines() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
