"""Workers of `resources.process: shared`: one process per GPU trains its trials in turns.

The workers are actors that hold the GPUs; a trial of Tune's is a thin client that forwards every
call to its worker. The workers belong to the driver and end with it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sweeps.cluster.placement import Reservation, trials_per_machine
from sweeps.cluster.storage_check import storage_credentials
from trainable.training.gpu.gpu_queue import queue_settings
from trainable.trial_settings import WORKERS

CLIENT_GPU = 0.001
"""Fraction of a GPU that a client trial reserves. The worker leaves this much for each of its
trials, so that Ray never starts more of them than the worker takes."""
EXTRA_THREADS = 8
"""Threads of a worker beyond one per trial, for calls that do not train."""


class GpuWorkerPool:
    """The worker processes that the trials of a sweep share.

    Args:
        share: CPUs and GPUs of one trial: `cpu`, `gpu`.
        machines: The machines' resources under Ray's names.
        max_concurrent: Upper limit of concurrent trials.
    """

    def __init__(
        self, share: dict[str, float], machines: list[dict[str, float]], max_concurrent: int
    ) -> None:
        self._share = share
        self._capacities = _plan_capacities(share, machines, max_concurrent)
        token = secrets.token_hex(4)
        self._names = [f"trials_{token}_{number}" for number in range(len(self._capacities))]
        self._actors: list[Any] = []

    @property
    def reservation(self) -> Reservation:
        """Resources that a client trial reserves; its worker uses the CPUs for it."""
        return Reservation({**self._share, "gpu": CLIENT_GPU if self._share["gpu"] else 0.0})

    @property
    def settings(self) -> dict[str, Any]:
        """Trial settings: the workers' names, and one GPU because a worker has a whole one."""
        return {WORKERS: self._names, "gpu": 1.0 if self._share["gpu"] else 0.0}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the workers until the context is left."""
        from trainable.ray_trial.shared_worker import SharedWorker  # torch

        worker: Any = ray.remote(SharedWorker)
        variables = storage_credentials()  # Tune passes them only to its own actors
        if self._share["gpu"]:
            variables |= queue_settings(os.environ)
        environment = {"env_vars": variables} if variables else None
        for name, capacity in zip(self._names, self._capacities, strict=True):
            actor = worker.options(
                name=name,
                num_cpus=0,
                num_gpus=round(1 - capacity * CLIENT_GPU, 4) if self._share["gpu"] else 0,
                max_concurrency=capacity + EXTRA_THREADS,
                max_restarts=-1,
                scheduling_strategy="SPREAD",
                runtime_env=environment,
            )
            self._actors.append(actor.remote(capacity, int(self._share["cpu"])))
        try:
            yield
        finally:
            for actor in self._actors:
                ray.kill(actor)

    def release(self, trial_id: str) -> None:
        """Closes a failed trial in its worker, because its client process may have died."""
        for actor in self._actors:
            actor.close.remote(trial_id)


def _plan_capacities(
    share: dict[str, float], machines: list[dict[str, float]], max_concurrent: int
) -> list[int]:
    """Returns each worker's number of trials; a GPU, or a machine without GPUs, has one worker.

    If fewer trials run concurrently than fit, they are divided evenly among the workers.
    """
    limits = []
    for machine in machines:
        trials, gpus = trials_per_machine(share, machine), int(machine.get("GPU", 0.0))
        workers = min(trials, gpus) if share["gpu"] else min(trials, 1)
        limits += [trials // workers + (n < trials % workers) for n in range(workers)]
    limits.sort(reverse=True)
    capacities = [0] * len(limits)
    for _ in range(min(max_concurrent, sum(limits))):
        with_room = [n for n in range(len(limits)) if capacities[n] < limits[n]]
        capacities[min(with_room, key=lambda n: capacities[n])] += 1
    return [capacity for capacity in capacities if capacity]
