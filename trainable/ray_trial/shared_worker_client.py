"""`SharedWorkerClient`: forwards the calls of one trial to the `SharedWorker` that trains it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError

from trainable.errors import LostWorkerError
from trainable.trial_settings import SETTINGS, WORKERS

log = logging.getLogger(__name__)

WORKER_TIMEOUT_S = 300.0
"""How long to wait for a worker. A worker that was lost is restarted and has to load torch."""
RETRY_INTERVAL_S = 0.5

LOST = (RayActorError, OutOfMemoryError)
"""Errors of a call to a worker that has died; the second one if Ray killed it to free memory."""


class SharedWorkerClient:
    """Has the methods of a `TrialRun`, which run in another process.

    Args:
        config: See `TrialRun`; its `SETTINGS` name the workers.
        trial_id: The trial's id.
        directory: The experiment directory.
    """

    def __init__(self, config: dict[str, Any], trial_id: str, directory: Path | None) -> None:
        self._config = config
        self._trial_id = trial_id
        self._directory = None if directory is None else str(directory)
        self._names: list[str] = list(config[SETTINGS][WORKERS])
        self._worker: Any = None

    def step(self) -> dict[str, Any]:
        """Trains one epoch; see `TrialRun.step`."""
        row: dict[str, Any] = self._call("step")
        return row

    def save_into(self, directory: Path) -> None:
        """Saves the present state into a directory."""
        self._call("save_into", str(directory))

    def load(self, directory: Path) -> None:
        """Restores the state in a directory of this trial or, after a PBT exploit, of another."""
        self._call("load", str(directory))

    def close(self) -> None:
        """Closes the trial in its worker."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        try:
            ray.get(worker.close.remote(self._trial_id))
        except LOST as error:  # the trial has ended with its process
            log.info("trial %s had no worker any more: %s", self._trial_id, error)

    def _call(self, method: str, *args: Any) -> Any:
        if self._worker is None:
            self._worker = self._open()
        try:
            return ray.get(getattr(self._worker, method).remote(self._trial_id, *args))
        except RayActorError as error:
            self._worker = None
            raise LostWorkerError(
                f"the process that trained trial {self._trial_id} is gone"
            ) from error
        except OutOfMemoryError:
            self._worker = None
            raise

    def _open(self) -> Any:
        """Opens the trial in the worker with the fewest trials; waits until one has room."""
        deadline = time.monotonic() + WORKER_TIMEOUT_S
        while time.monotonic() < deadline:
            for worker in self._list_workers():
                deadline = time.monotonic() + WORKER_TIMEOUT_S
                try:
                    is_open = ray.get(
                        worker.open.remote(self._trial_id, self._config, self._directory)
                    )
                except LOST:
                    continue
                if is_open:
                    return worker
            time.sleep(RETRY_INTERVAL_S)
        raise LostWorkerError(f"no worker has answered trial {self._trial_id}")

    def _list_workers(self) -> list[Any]:
        """Returns the workers that answer, those with the fewest trials first."""
        workers: list[tuple[int, int, Any]] = []
        for number, name in enumerate(self._names):
            try:
                worker = ray.get_actor(name)
                # A trial that lost its own process may still be open in one of the workers.
                ray.get(worker.close.remote(self._trial_id))
                workers.append((ray.get(worker.count.remote()), number, worker))
            except (*LOST, ValueError):  # being restarted, or lost for good
                continue
        return [worker for _, _, worker in sorted(workers, key=lambda entry: entry[:2])]
