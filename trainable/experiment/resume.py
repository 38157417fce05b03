"""Starts a training from a checkpoint: what is refused, loaded, inherited and set aside.

A training that resumes has the history of its checkpoint, and its `best.pt` is the best state of
that history. If it continues in the directory of an earlier epoch's checkpoint, the files of the
epochs that were trained after that one are moved into `abandoned_1/` (`abandoned_2/`...) beside
`checkpoints/`.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainable.artifacts.checkpoint import (
    CONFIG,
    EPOCH,
    MONITOR,
    RESUME,
    checkpoint_epoch,
    describe_changes,
    is_complete,
    read_checkpoint,
    saved_epochs,
)
from trainable.artifacts.metrics import ACCURACY
from trainable.artifacts.names import (
    ABANDONED,
    BEST_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    EPOCH_FILES,
    EVENT_FILES,
    LATEST_FILE,
    TENSORBOARD,
    epoch_file,
    epoch_of,
)
from trainable.atomic_files import add_name
from trainable.config import TrainConfig
from trainable.data.class_names import with_saved_classes
from trainable.errors import ExperimentError
from trainable.metrics.best_epoch import BestEpoch
from trainable.models.pretrained import with_saved_preprocessing
from trainable.storage.experiment import file_beside, local_file
from trainable.training.device import with_saved_threads
from trainable.training.saved_split import with_saved_cache
from trainable.training.stopping import explain_ended
from trainable.training.trainer import Trainer
from trainable.uri import is_uri

Download = Callable[[Path], Path]
"""Completes a file of the experiment directory; in object storage it may be a placeholder."""


@dataclass(frozen=True)
class Origin:
    """The checkpoint that a training is resumed from."""

    location: str
    """Its path or address, as in the config."""
    path: Path
    """Its file; a temporary one if it is in object storage."""

    @cached_property
    def state(self) -> dict[str, Any]:
        """Its content, read once.

        Raises:
            CheckpointError: The file is not a good checkpoint.
        """
        return read_checkpoint(self.path)

    def load(self, trainer: Trainer) -> list[str]:
        """Loads the checkpoint into a new training; returns lines for the log.

        Raises:
            CheckpointError: The file is not a good checkpoint or is of another model.
            ExperimentError: It has all the epochs of the training, or a rule has ended it.
        """
        trainer.load_state_dict(self.state)
        if trainer.done:
            raise ExperimentError(
                f"{self.location} has completed epoch {trainer.epoch} of "
                f"{trainer.config.training.epochs}: nothing is left to train; raise "
                "training.epochs"
            )
        if trainer.stopping.stop is not None:
            raise ExperimentError(f"{self.location} {explain_ended(trainer.stopping.stop)}")
        if RESUME not in self.state and trainer.best.epoch:
            trainer.best.epoch = self._find_best_epoch(trainer)
        line = f"continues from {self.location}, epoch {trainer.epoch}"
        return [line, *describe_resumption(trainer, self.state)]

    def find_best(self, trainer: Trainer) -> Path | None:
        """Returns the file with the best state of the checkpoint's history, or None.

        That is the checkpoint itself, or the `best.pt` or the `epoch_NNNN.pt` beside it.

        Args:
            trainer: The training that has loaded the checkpoint.
        """
        best = trainer.best
        if _get_best(self.state, best) == (best.value, best.epoch):
            return self.path
        for name in (BEST_FILE, epoch_file(best.epoch)):
            path = file_beside(self.location, self.path, name)
            if path is not None and _read_best(path, best) == (best.value, best.epoch):
                return path
        return None

    def _find_best_epoch(self, trainer: Trainer) -> int:
        """Returns the best epoch of a checkpoint of another program, which does not record it."""
        path = file_beside(self.location, self.path, BEST_FILE)
        value, epoch = (path and _read_best(path, trainer.best)) or (None, 0)
        return epoch if value == trainer.best.value else trainer.epoch


def describe_resumption(trainer: Trainer, state: dict[str, Any]) -> list[str]:
    """Returns lines for the log on what differs from the training of a checkpoint.

    Args:
        trainer: The training that has loaded the checkpoint.
        state: The checkpoint's content.
    """
    lines = []
    if changes := describe_changes(state, trainer.config):
        lines.append(f"changed since that checkpoint: {changes}")
    earlier = state.get(RESUME, {}).get(MONITOR, ACCURACY)
    if earlier != trainer.best.monitor:
        lines.append(
            f"note: checkpoint.monitor was {earlier} and is {trainer.best.monitor}: best.pt is "
            "the best of the epochs from here on"
        )
    if trainer.stopping.restarted is not None:
        lines.append(f"note: {trainer.stopping.restarted}")
    epochs = saved_epochs(state)
    extension = None if epochs is None else trainer.schedule.describe_extension(epochs)
    return [*lines, f"note: {extension}"] if extension else lines


def continue_config(config: TrainConfig, state: dict[str, Any] | None) -> TrainConfig:
    """Returns a config with what a training takes over from the checkpoint that it continues.

    That is the preprocessing of its weights, its number of threads and the names of its classes,
    as far as the config leaves them open, and to read files without the cache if it has done so.

    Args:
        config: Complete settings.
        state: The checkpoint; None if the training starts.
    """
    if state is None:
        return config
    config = with_saved_cache(with_saved_classes(config, state[CONFIG]), state[CONFIG])
    return with_saved_threads(with_saved_preprocessing(config, state), state)


@contextmanager
def open_origin(location: str) -> Iterator[Origin]:
    """Yields the checkpoint at a path or an address.

    Raises:
        StorageError: It cannot be downloaded.
    """
    with local_file(location) as path:
        yield Origin(location, path)


def inherit_best(
    trainer: Trainer, origin: Origin, checkpoints: Path, download: Download = lambda path: path
) -> list[str]:
    """Gives a resumed training the best state of its history as its `best.pt`.

    A better `best.pt` that is in the directory stays, and its metric is then the best one.

    Args:
        trainer: The training that has loaded the checkpoint.
        origin: The checkpoint.
        checkpoints: The training's own `checkpoints/`.
        download: See `Download`.

    Returns:
        Lines for the log.
    """
    own = checkpoints / BEST_FILE
    best = trainer.best
    kept = _read_best(download(own), best) if own.exists() else None
    if kept is not None and (best.is_less(kept[0]) or kept[0] == best.value):
        best.value, best.epoch = kept
        if best.monitor == ACCURACY:
            best.acc = kept[0]
        return [] if best.epoch <= trainer.epoch else [f"best.pt stays: {best.text}"]
    if best.epoch == 0:  # no epoch had a finite loss, or another metric was watched
        return []
    path = origin.find_best(trainer)
    if path is not None:
        add_name(path, own)
        return []
    return [
        f"no file beside {origin.location} has the best state ({best.text}): best.pt is written "
        "when an epoch is better"
    ]


def set_aside(
    directory: Path, origin: Origin, epoch: int, download: Download = lambda path: path
) -> list[str]:
    """Moves the checkpoints of later epochs than the resumed one out of its directory.

    The config and the event files of these epochs are copied. `best.pt` stays.

    Args:
        directory: The experiment directory in which the training continues.
        origin: The checkpoint.
        epoch: Its last completed epoch.
        download: See `Download`.

    Returns:
        Lines for the log.
    """
    checkpoints = directory / CHECKPOINTS
    # A checkpoint that was set aside earlier is of a history to which none of the files belongs.
    is_inside = is_uri(origin.location) or origin.path.resolve().parent == checkpoints.resolve()
    last = epoch if is_inside else 0
    later = [path for path in checkpoints.glob(EPOCH_FILES) if epoch_of(path.name) > last]
    latest = checkpoints / LATEST_FILE
    if latest.exists():
        latest_epoch = checkpoint_epoch(download(latest))
        if latest_epoch is None or latest_epoch > last:
            later.append(latest)
    if not later:
        return []
    targets = (directory / f"{ABANDONED}{number}" for number in itertools.count(1))
    target = next(path for path in targets if not path.exists())
    (target / CHECKPOINTS).mkdir(parents=True)
    for path in (directory / CONFIG_FILE, *(directory / TENSORBOARD).glob(EVENT_FILES)):
        if path.exists():
            copy = target / path.relative_to(directory)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
    for path in sorted(later):
        path.rename(target / CHECKPOINTS / path.name)
    moved = ", ".join(path.name for path in sorted(later))
    return [f"moved to {target.name}/: {moved}, which do not belong to epochs 1 to {epoch}"]


def _read_best(path: Path, best: BestEpoch) -> tuple[float, int] | None:
    """Returns the best value so far and the epoch of a checkpoint; None if it has no such value.

    That is so if the file is not good, or if its training watched another metric.
    """
    return _get_best(read_checkpoint(path), best) if is_complete(path) else None


def _get_best(state: dict[str, Any], best: BestEpoch) -> tuple[float, int] | None:
    value = best.read(state)
    return None if value is None else (value, int(state[EPOCH]))
