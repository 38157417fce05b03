"""`ClassifierTrainable`: adapts Tune's trainable API to a `TrialRun`.

`step()` is one epoch. The training runs in this process or, with `resources.process: shared`, in
one that several trials share; this process then never loads torch. The training config decides
what is saved when. Every save is reported to Tune, so that a retry, a pause or a PBT exploit uses
the newest state.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.air.constants import TRAINING_ITERATION
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainable.ray_trial.shared_worker_client import SharedWorkerClient
from trainable.ray_trial.tune_storage import (
    create_checkpoint_directory,
    create_storage_marker,
    next_checkpoint_directory,
    trial_directory,
)
from trainable.trial_settings import ENDED, REMOTE, SAVED, SETTINGS, WORKERS

if TYPE_CHECKING:
    from trainable.ray_trial.trial_run import TrialRun


class ClassifierTrainable(tune.Trainable):
    """One trial: an image classifier, trained one epoch per step.

    The trial's config is that of `TrialRun`; a scheduler changes its dotted keys during training.
    The trial's directory in Tune's storage is the experiment directory.
    """

    _run: TrialRun | SharedWorkerClient | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Takes the config; the training is built in the first step.

        Tune gives up a trial that fails here or in `reset_config`, without a retry.
        """
        for name in ("ray.train._internal.storage", "ray.tune.trainable.trainable"):
            logging.getLogger(name).setLevel(logging.WARNING)
        directory = trial_directory(self._storage)
        if config.get(SETTINGS, {}).get(WORKERS):
            self._run = SharedWorkerClient(config, self.trial_id, directory)
            return
        from trainable.ray_trial.trial_run import TrialRun

        self._run = TrialRun(config, self.trial_id, directory)

    def step(self) -> dict[str, Any]:
        """Trains one epoch and saves what is due before the epoch is reported."""
        row = self._running.step()
        saved, ended = row.pop(SAVED), row.pop(ENDED)
        return {
            **row,
            TRAINING_ITERATION: row["epoch"],
            SHOULD_CHECKPOINT: saved,
            DONE: ended,
        }

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Saves directly into Tune's final directory, so that the state is written only once."""
        if self._is_remote:
            create_storage_marker(self._storage)
        return super().save(checkpoint_dir or next_checkpoint_directory(self._storage))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Saves the present state into a directory."""
        self._running.save_into(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Restores the state in a directory of this trial or, after a PBT exploit, of another."""
        self._running.load(Path(checkpoint_dir))

    def restore(self, checkpoint_path: Any) -> None:
        """Restores a checkpoint; one in object storage is downloaded when it is loaded."""
        if self._is_remote:
            create_checkpoint_directory(checkpoint_path)
        super().restore(checkpoint_path)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turns this actor into another trial: the process stays, the old trial's state goes."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Closes files and drops the model."""
        if self._run is not None:
            self._run.close()
        self._run = None

    @property
    def _is_remote(self) -> bool:
        return bool(self.config.get(SETTINGS, {}).get(REMOTE))

    @property
    def _running(self) -> TrialRun | SharedWorkerClient:
        assert self._run is not None, "Tune calls setup first, and nothing after cleanup"
        return self._run
