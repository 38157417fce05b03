"""Lets Tune run a sweep in object storage: its files move between driver and workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from sweeps.storage.location import mirror_of
from sweeps.storage.uploader import BackgroundUploader, uploader_of
from trainable.artifacts.names import CHECKPOINT_FILE
from trainable.trial_settings import REMOTE


class StorageCallback(Callback):
    """Assigns a trial's files to its worker, takes them back, and uploads those of the sweep.

    Args:
        uploader: The uploader of the sweep.
    """

    def __init__(self, uploader: BackgroundUploader) -> None:
        self._uploader = uploader
        self._has_started = False

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Uploads changed files, which are consistent with one another between steps."""
        del iteration, trials, info
        if not self._has_started:  # rows that a resume has removed, before workers write new ones
            self._uploader.flush()
        self._has_started = True
        self._uploader.tick()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Assigns the trial's files to the worker that is about to get it."""
        del iteration, trials, info
        self._uploader.mirror.assign_to_worker(_name(trial))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Takes the trial's files back from its worker."""
        del iteration, trials, info
        self._uploader.mirror.sync_trial(_name(trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Takes the trial's files back from its worker."""
        del iteration, trials, info
        self._uploader.mirror.sync_trial(_name(trial))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Takes the files of all trials back from their workers."""
        del trials, info
        self._uploader.mirror.sync_trials()


def build_callbacks(directory: Path) -> list[Callback]:
    """Builds the callbacks that come first; none for a sweep on a file system."""
    uploader = uploader_of(directory)
    return [] if uploader is None else [StorageCallback(uploader)]


def trial_settings(directory: Path, *, exploits: bool) -> dict[str, Any]:
    """Returns the settings with which trials find the object storage; none on a file system.

    Args:
        directory: The sweep directory.
        exploits: Whether trials load one another's checkpoints.
    """
    mirror = mirror_of(directory)
    return {} if mirror is None else {REMOTE: {"uri": mirror.store.uri, "donates": exploits}}


def num_to_keep(directory: Path, *, saves: bool, exploits: bool) -> int:
    """Returns how many checkpoint directories of a trial Tune keeps.

    Tune would delete them on this machine; in object storage, the trials' workers do it. Those of
    PBT are deleted by `DonorCheckpointCleanup`.

    Args:
        directory: The sweep directory.
        saves: Whether trials save checkpoints.
        exploits: Whether trials load one another's checkpoints.
    """
    if not saves:
        return 0
    return sys.maxsize if exploits or mirror_of(directory) is not None else 1


def delete_remote_checkpoint(path: Path) -> None:
    """Deletes one of Tune's checkpoint directories in object storage, if the sweep is there."""
    uploader = uploader_of(path)
    if uploader is not None:
        uploader.delete([f"{uploader.mirror.name_of(path)}/{CHECKPOINT_FILE}"])


def use_remote_checkpoints(grid: tune.ResultGrid, directory: Path) -> None:
    """Replaces the checkpoints of Tune's results, which are temporary, by those in storage."""
    mirror = mirror_of(directory)
    if mirror is None:
        return

    def to_remote(local: Checkpoint) -> Checkpoint:
        path = mirror.store.path_of(mirror.name_of(Path(local.path)))
        return Checkpoint(path, filesystem=mirror.store.file_system)

    for result in (grid[index] for index in range(len(grid))):
        if result.checkpoint is not None:
            result.checkpoint = to_remote(result.checkpoint)
            best = result.best_checkpoints or []
            result.best_checkpoints = [(to_remote(saved), row) for saved, row in best]


def _name(trial: Trial) -> str:
    return Path(str(trial.relative_logdir)).name
