"""`resources.process: shared`: a process a card trains its trials, a batch of each in turn.

The processes are actors that hold the cards. A trial of Tune's is then a thin one that passes
every call on. They belong to the driver and end with it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sweeps.cluster.placement import Booking, places
from sweeps.cluster.storage_check import store_keys
from trainable.training.gpu_queue import queue_settings
from trainable.trial_settings import WORKERS

THIN_GPU = 0.001
"""What a thin trial books of a card: the worker leaves so much of it for each of its trials, so
that no more of them run than it has places."""
FOR_OTHER_CALLS = 8
"""Threads of a worker besides one a trial."""


class Packing:
    """The processes of a sweep that its trials share.

    Args:
        share: What a trial is given: `cpu`, `gpu`.
        machines: The cluster's, as Ray names what they have.
        at_once: The most trials that run at once.
    """

    def __init__(
        self, share: dict[str, float], machines: list[dict[str, float]], at_once: int
    ) -> None:
        self._share = share
        self._places = _places(share, machines, at_once)
        token = secrets.token_hex(4)
        self._names = [f"trials_{token}_{number}" for number in range(len(self._places))]
        self._actors: list[Any] = []

    @property
    def booking(self) -> Booking:
        """What a thin trial books; the CPUs are those that its worker uses for it."""
        return Booking({**self._share, "gpu": THIN_GPU if self._share["gpu"] else 0.0})

    @property
    def settings(self) -> dict[str, Any]:
        """What a trial is told: the workers' names, and that theirs is a whole card."""
        return {WORKERS: self._names, "gpu": 1.0 if self._share["gpu"] else 0.0}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Holds the processes for as long as trials run."""
        from trainable.ray_trial.shared_worker import PackedWorker  # torch

        worker: Any = ray.remote(PackedWorker)
        variables = store_keys()  # Tune gives them only to its own actors
        if self._share["gpu"]:
            variables |= queue_settings(os.environ)
        environment = {"env_vars": variables} if variables else None
        for name, held in zip(self._names, self._places, strict=True):
            actor = worker.options(
                name=name,
                num_cpus=0,
                num_gpus=round(1 - held * THIN_GPU, 4) if self._share["gpu"] else 0,
                max_concurrency=held + FOR_OTHER_CALLS,
                max_restarts=-1,
                scheduling_strategy="SPREAD",
                runtime_env=environment,
            )
            self._actors.append(actor.remote(held, int(self._share["cpu"])))
        try:
            yield
        finally:
            for actor in self._actors:
                ray.kill(actor)

    def forget(self, trial_id: str) -> None:
        """Frees the place of a trial that has failed, whose own process may have been lost."""
        for actor in self._actors:
            actor.close.remote(trial_id)


def _places(share: dict[str, float], machines: list[dict[str, float]], at_once: int) -> list[int]:
    """How many trials each process takes: one process a card or, without cards, a machine.

    No more than are needed: of few trials every card gets its share.
    """
    found = []
    for machine in machines:
        held, cards = places(share, machine), int(machine.get("GPU", 0.0))
        processes = min(held, cards) if share["gpu"] else min(held, 1)
        found += [held // processes + (n < held % processes) for n in range(processes)]
    found.sort(reverse=True)
    needed = [0] * len(found)
    for _ in range(min(at_once, sum(found))):
        free = [n for n in range(len(found)) if needed[n] < found[n]]
        needed[min(free, key=lambda n: needed[n])] += 1
    return [count for count in needed if count]
