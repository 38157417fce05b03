"""State and checkpoints of PBT and PB2.

Their state can be replayed without mutating anything again, and a donor's checkpoint stays until
no trial can load it any more. Private names of `PopulationBasedTraining` stand here only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

IN_CONFIG = "config/"
"""Prefix that Tune puts before a key of the trial's config in a result."""


def record_result(
    pbt: PopulationBasedTraining, trial: Trial, epoch: int, row: Mapping[str, Any]
) -> None:
    """Records a result in the scheduler's state without looking for an exploit.

    Args:
        pbt: A scheduler that the trial was added to.
        trial: The trial that reported.
        epoch: The result's epoch.
        row: The result's numbers; under `IN_CONFIG` the values that the trial had then.
    """
    state = pbt._trial_state[trial]
    if epoch - state.last_perturbation_time < pbt._perturbation_interval:
        return
    # PB2's model reads the values from the trial itself.
    current = trial.config
    earlier = {k.removeprefix(IN_CONFIG): v for k, v in row.items() if k.startswith(IN_CONFIG)}
    trial.config = {**current, **earlier}
    pbt._save_trial_state(state, epoch, dict(row), trial)
    trial.config = current
    state.last_perturbation_time = epoch


def rewind(pbt: PopulationBasedTraining) -> None:
    """Sets every trial's last perturbation back to at most the epoch that it continues from.

    An exploit or a kill sends a trial back to before the last epoch that it reported.
    """
    for trial, state in pbt._trial_state.items():
        epoch = (trial.last_result or {}).get("epoch", 0)
        state.last_perturbation_time = min(state.last_perturbation_time, epoch)
        state.last_train_time = min(state.last_train_time, epoch)


class DonorCheckpointCleanup(Callback):
    """Deletes Tune's checkpoint directories of a population once nothing can load them.

    Tune itself would keep the newest few of each trial. But a recipient that waits for a slot, or
    a slow one whose donor was chosen epochs ago, needs an older one.

    Args:
        pbt: The scheduler, whose state refers to the checkpoints of possible donors.
        delete_remote: Deletes the remote counterpart of such a directory.
    """

    def __init__(
        self, pbt: PopulationBasedTraining, delete_remote: Callable[[Path], None]
    ) -> None:
        self._pbt = pbt
        self._delete_remote = delete_remote
        self._saved: set[Path] = set()

    def on_trial_save(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Deletes the older checkpoints of a trial that has saved, except those in use."""
        del iteration, info
        if trial.checkpoint is None:
            return
        newest = Path(trial.checkpoint.path)
        used = {*self._starting_points(trials), *self._donor_checkpoints()}
        saved = {path for path in self._saved if path.parent == newest.parent}
        self._saved.add(newest)
        for path in saved.union(newest.parent.glob("checkpoint_*")):  # it may be on another node
            if path.name < newest.name and path not in used:
                shutil.rmtree(path, ignore_errors=True)
                self._saved.discard(path)
                self._delete_remote(path)

    @staticmethod
    def _starting_points(trials: Iterable[Trial]) -> Iterator[Path]:
        """Checkpoints that trials continue from; a recipient's is its donor's until it saves."""
        for trial in trials:
            if trial.checkpoint is not None and not trial.is_finished():
                yield Path(trial.checkpoint.path)

    def _donor_checkpoints(self) -> Iterator[Path]:
        """Checkpoints that the next recipient of each trial would load."""
        for state in self._pbt._trial_state.values():
            checkpoint: Any = state.last_checkpoint
            if hasattr(checkpoint, "resolve"):  # a save that may still be in progress
                saved = checkpoint.resolve(block=False)
                checkpoint = None if saved is None else saved.checkpoint
            if checkpoint is not None:
                yield Path(checkpoint.path)
