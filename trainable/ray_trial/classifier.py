"""A training as a Ray Tune trial: a thin adapter from Tune's hooks to a `TrialRun`.

The training is in this process or, with `resources.process: shared`, in one that several trials
share; this one then never loads torch. `step()` is one epoch. What is saved when is the training
config's matter; Tune is told of every save, so that a retry, a pause or a PBT exploit finds the
newest state.
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
    make_room,
    next_checkpoint_directory,
    stand_alone,
    trial_directory,
)
from trainable.trial_settings import ENDED, REMOTE, SAVED, SETTINGS, WORKERS

if TYPE_CHECKING:
    from trainable.ray_trial.trial_run import TrialRun


class ClassifierTrainable(tune.Trainable):
    """One trial: an image classifier trained an epoch a step.

    The trial's config is that of `TrialRun`; its dotted keys are what a scheduler changes in
    mid-training. The trial's directory in Tune's storage is the experiment directory.
    """

    _run: TrialRun | SharedWorkerClient | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Takes the config; nothing is built before the first step.

        Raised here or in `reset_config`, a failure would make Tune give the trial up.
        """
        for name in ("ray.train._internal.storage", "ray.tune.trainable.trainable"):
            logging.getLogger(name).setLevel(logging.WARNING)
        place = trial_directory(self._storage)
        if config.get(SETTINGS, {}).get(WORKERS):
            self._run = SharedWorkerClient(config, self.trial_id, place)
            return
        from trainable.ray_trial.trial_run import TrialRun

        self._run = TrialRun(config, self.trial_id, place)

    def step(self) -> dict[str, Any]:
        """Trains one epoch; what is due is saved before anyone hears of it."""
        row = self._running.step()
        saved, ended = row.pop(SAVED), row.pop(ENDED)
        return {
            **row,
            TRAINING_ITERATION: row["epoch"],
            SHOULD_CHECKPOINT: saved,
            DONE: ended,
        }

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Saves straight into Tune's final directory: the state is written once."""
        if self._is_remote:
            stand_alone(self._storage)
        return super().save(checkpoint_dir or next_checkpoint_directory(self._storage))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Names the present state in a directory."""
        self._running.save_into(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Continues from a directory of this trial's, or (PBT) of another's."""
        self._running.load(Path(checkpoint_dir))

    def restore(self, checkpoint_path: Any) -> None:
        """Continues from a checkpoint; one in object storage is fetched as it is loaded."""
        if self._is_remote:
            make_room(checkpoint_path)
        super().restore(checkpoint_path)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes another trial: everything of the old one goes, the process stays."""
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
