"""A trial whose training is in a process of several: every call goes on to its `SharedWorker`."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from trainable.errors import LostWorkerError
from trainable.trial_settings import SETTINGS, WORKERS

log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""For an answer: a worker that was lost is started anew, and loads torch again."""
PAUSE_S = 0.5


class SharedWorkerClient:
    """Stands for a `TrialRun` that is in another process; its methods are the same.

    Args:
        config: See `TrialRun`; its `SETTINGS` name the workers.
        trial_id: Of the trial.
        directory: The experiment directory.
    """

    def __init__(self, config: dict[str, Any], trial_id: str, directory: Path | None) -> None:
        self._config = config
        self._key = trial_id
        self._directory = None if directory is None else str(directory)
        self._names: list[str] = list(config[SETTINGS][WORKERS])
        self._worker: Any = None

    def step(self) -> dict[str, Any]:
        """Trains one epoch; see `TrialRun.step`."""
        row: dict[str, Any] = self._call("step")
        return row

    def save_into(self, directory: Path) -> None:
        """Names the present state in a directory."""
        self._call("save_into", str(directory))

    def load(self, directory: Path) -> None:
        """Continues from a directory of this trial's, or (PBT) of another's."""
        self._call("load", str(directory))

    def close(self) -> None:
        """Gives the trial's place back."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        try:
            ray.get(worker.close.remote(self._key))
        except RayActorError as error:  # with the process the trial is gone, too
            log.info("trial %s had no worker any more: %s", self._key, error)

    def _call(self, method: str, *args: Any) -> Any:
        if self._worker is None:
            self._worker = self._open()
        try:
            return ray.get(getattr(self._worker, method).remote(self._key, *args))
        except RayActorError as error:
            self._worker = None
            raise LostWorkerError(f"the process that trained trial {self._key} is gone") from error

    def _open(self) -> Any:
        """The worker with the most room, which has taken the trial in; waits for a place."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for worker in self._by_room():
                deadline = time.monotonic() + PATIENCE_S
                try:
                    taken = ray.get(worker.open.remote(self._key, self._config, self._directory))
                except RayActorError:
                    continue
                if taken:
                    return worker
            time.sleep(PAUSE_S)
        raise LostWorkerError(f"no worker has answered trial {self._key}")

    def _by_room(self) -> list[Any]:
        found: list[tuple[int, int, Any]] = []
        for place, name in enumerate(self._names):
            try:
                worker = ray.get_actor(name)
                # A trial that comes back after the loss of its own process has a place somewhere.
                ray.get(worker.close.remote(self._key))
                found.append((ray.get(worker.count.remote()), place, worker))
            except (RayActorError, ValueError):  # being started anew, or gone for good
                continue
        return [worker for _, _, worker in sorted(found, key=lambda each: each[:2])]
