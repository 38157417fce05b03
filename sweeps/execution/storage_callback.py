"""What Tune is told of a sweep in object storage, and when its files go from hand to hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from sweeps.storage.location import desk_of
from sweeps.storage.uploader import StoreKeeper, keeper_of
from trainable.artifacts.names import CHECKPOINT_FILE
from trainable.trial_settings import REMOTE


class StoreCallback(Callback):
    """Gives a trial's files to its worker and takes them back; sends those of the sweep.

    Args:
        keeper: Of the sweep.
    """

    def __init__(self, keeper: StoreKeeper) -> None:
        self._keeper = keeper
        self._has_begun = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and no process ever takes this one up."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The files of the sweep agree with one another now."""
        del iteration, trials, info
        if not self._has_begun:  # rows that a resume has taken back, before workers write new ones
            self._keeper.flush()
        self._has_begun = True
        self._keeper.tick()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A worker is about to get the trial, and the store to hear of it."""
        del iteration, trials, info
        self._keeper.desk.hand_over(_name(trial))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """No worker has the trial any more."""
        del iteration, trials, info
        self._keeper.desk.collect(_name(trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """No worker has the trial any more."""
        del iteration, trials, info
        self._keeper.desk.collect(_name(trial))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """No worker has any trial any more."""
        del trials, info
        self._keeper.desk.collect_all()


def callbacks(directory: Path) -> list[Callback]:
    """What is to be called before all else; nothing for a sweep on a file system."""
    keeper = keeper_of(directory)
    return [] if keeper is None else [StoreCallback(keeper)]


def settings(directory: Path, *, donates: bool) -> dict[str, Any]:
    """What trials are told of the store.

    Args:
        directory: The sweep's.
        donates: Whether trials load one another's checkpoints.
    """
    desk = desk_of(directory)
    return {} if desk is None else {REMOTE: {"uri": desk.remote.uri, "donates": donates}}


def kept_by_tune(directory: Path, kept: int) -> int:
    """How many checkpoint directories of a trial Tune is told to keep.

    It would look for them on this machine; in a store, the trials' workers delete old ones.
    """
    return kept if desk_of(directory) is None or not kept else sys.maxsize


def forget_checkpoint(path: Path) -> None:
    """Has a checkpoint directory of Tune's deleted in the store, if the sweep is in one."""
    keeper = keeper_of(path)
    if keeper is not None:
        keeper.delete([f"{keeper.desk.name(path)}/{CHECKPOINT_FILE}"])


def point_into_store(grid: tune.ResultGrid, directory: Path) -> None:
    """Makes the checkpoints of Tune's results those in the store: the local ones go."""
    desk = desk_of(directory)
    if desk is None:
        return

    def there(found: Checkpoint) -> Checkpoint:
        path = desk.remote.path_of(desk.name(Path(found.path)))
        return Checkpoint(path, filesystem=desk.remote.file_system)

    for result in (grid[index] for index in range(len(grid))):
        if result.checkpoint is not None:
            result.checkpoint = there(result.checkpoint)
            best = result.best_checkpoints or []
            result.best_checkpoints = [(there(found), row) for found, row in best]


def _name(trial: Trial) -> str:
    return Path(str(trial.relative_logdir)).name
