"""One experiment directory: its name, its files, and what is saved when.

resnet20_digits_20240115_143022/
|-- config.yaml                complete: trains the same again
|-- checkpoints/               epoch_0010.pt ... latest.pt best.pt, names of files written once
|-- tensorboard/               event files, with tensorboard.enabled
`-- metrics.jsonl              one row an epoch, in a sweep only
"""

from __future__ import annotations

import errno
import itertools
import shutil
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

from trainable.artifacts import checkpoint
from trainable.artifacts.metrics import MetricsFile
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    EPOCH_FILES,
    LATEST_FILE,
    METRICS_FILE,
    TENSORBOARD,
    automatic_name,
    epoch_file,
)
from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.artifacts.tensorboard_hparams import Session
from trainable.atomic_files import add_name, remove_temporaries, write_text
from trainable.config import CheckpointConfig, TrainConfig
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import DiskFullError, ExperimentError
from trainable.experiment.async_checkpoint import Snapshot, take_snapshot, write_behind
from trainable.training.trainer import Row, Trainer


def create_directory(config: TrainConfig, now: datetime) -> Path:
    """Makes the directory of a new experiment; no two callers ever get the same one.

    Raises:
        ExperimentError: A directory of the custom name holds another experiment.
    """
    base = Path(config.checkpoint.dir).absolute()
    custom = config.checkpoint.experiment_name
    try:
        base.mkdir(parents=True, exist_ok=True)
        if custom:
            return _custom_directory(base / custom, config.checkpoint)
        return unique_directory(base, automatic_name(config, now))
    except OSError as error:
        raise ExperimentError(f"cannot create an experiment in {base}: {error}") from error


def unique_directory(base: Path, name: str) -> Path:
    """Makes a directory of this name, or with `_2`, `_3`... behind it if there is one already."""
    for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(2))):
        directory = base / f"{name}{suffix}"
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise AssertionError("itertools.count never ends")


def _custom_directory(directory: Path, config: CheckpointConfig) -> Path:
    """A named directory: a new or empty one, or the one that `resume` points into."""
    resume = config.resume
    if resume is not None and Path(resume).resolve().is_relative_to(directory.resolve()):
        return directory
    try:
        if directory.exists() and any(directory.iterdir()):
            raise FileExistsError
        # Of two callers at the same time the one that makes this has the name.
        (directory / CHECKPOINTS).mkdir(parents=True)
    except FileExistsError:
        latest = directory / CHECKPOINTS / LATEST_FILE
        raise ExperimentError(
            f"{directory} already holds an experiment; set checkpoint.resume to {latest} to "
            "continue it, or choose another checkpoint.experiment_name"
        ) from None
    return directory


class Experiment:
    """What one training leaves on disk.

    Args:
        directory: Exists; nobody else writes to it.
        config: Decides what is saved; written to `config.yaml`.
        keep_metrics: Whether to keep `metrics.jsonl`.
        keep_epochs: How many `epoch_NNNN.pt` stay, the newest; None means all.
        min_free_gib: Free space below which nothing is saved.
        session: What TensorBoard's HParams page shows of the training; None for nothing.
    """

    def __init__(
        self,
        directory: Path,
        config: TrainConfig,
        *,
        keep_metrics: bool,
        keep_epochs: int | None = None,
        min_free_gib: float = 0.0,
        session: Session | None = None,
    ) -> None:
        self.directory = directory
        self.checkpoints = directory / CHECKPOINTS
        self._config = config.checkpoint
        if self._config.enabled:
            self.checkpoints.mkdir(exist_ok=True)
            remove_temporaries(self.checkpoints)
        for name in (CONFIG_FILE, METRICS_FILE):  # a sweep writes others there
            remove_temporaries(directory, name)
        self._keep_epochs = keep_epochs
        self._min_free_gib = min_free_gib
        self._saved_epoch: int | None = None
        self._last: Snapshot | None = None
        self._recorded_epoch: int | None = None
        self._history = MetricsFile(directory / METRICS_FILE) if keep_metrics else None
        logs = config.tensorboard.enabled
        self._curves = TensorBoardWriter(directory / TENSORBOARD, session) if logs else None
        write_text(directory / CONFIG_FILE, dump_yaml(config.to_dict()))

    @property
    def latest(self) -> Path:
        """Where the most recent checkpoint is, or will be."""
        return self.checkpoints / LATEST_FILE

    def start(self, epoch: int) -> None:
        """Continues after a completed epoch: what was recorded of later ones is dropped.

        Args:
            epoch: The last completed one; 0 for a new training.
        """
        self._saved_epoch = None
        self._recorded_epoch = epoch
        if self._history is not None:
            self._history.truncate(epoch)
        if self._curves is not None:
            self._curves.truncate(epoch)

    def record(self, row: Row) -> None:
        """Keeps one epoch's metrics, in place of whatever was recorded of it or of later ones."""
        if self._recorded_epoch != row["epoch"] - 1:
            self.start(row["epoch"] - 1)
        self._recorded_epoch = row["epoch"]
        if self._history is not None:
            self._history.append(row)
        if self._curves is not None:
            self._curves.append(row)

    def best(self) -> tuple[float, int]:
        """Accuracy and epoch of `best.pt`; zeros where there is none."""
        path = self.checkpoints / BEST_FILE
        if not path.exists():
            return 0.0, 0
        state = checkpoint.read_checkpoint(path)
        return float(state[checkpoint.BEST_ACC]), int(state[checkpoint.EPOCH])

    def adopt_best(self, resumed: Path, trainer: Trainer) -> None:
        """Takes over the best state of the experiment that a training is resumed from.

        The best accuracy goes on counting, so the file that has it belongs here too: the resumed
        one itself or the `best.pt` beside it. Where neither has it, nothing is taken.

        Args:
            resumed: The checkpoint that was resumed.
            trainer: Has loaded it.
        """
        own = self.checkpoints / BEST_FILE
        if not self._config.save_best or own.exists():
            return
        for found in (resumed, resumed.parent / BEST_FILE):
            if not checkpoint.is_complete(found):
                continue
            state = checkpoint.read_checkpoint(found)
            if (state[checkpoint.BEST_ACC], state[checkpoint.EPOCH]) == (
                trainer.best_acc,
                trainer.best_epoch,
            ):
                add_name(found, own)
                return

    def begin_save(self, trainer: Trainer) -> Future[None] | None:
        """Saves after an epoch if the config asks for it; the training may go on meanwhile.

        An epoch that is due gets its `epoch_NNNN.pt`, an improvement `best.pt`; whatever is saved
        is `latest.pt` too. With `checkpoint.enabled: false`, or of a training that has diverged,
        nothing is ever due.

        Returns:
            Done when the files have their names; None if nothing is due.
        """
        if not self._config.enabled or trainer.diverged:
            return None
        names = []
        if trainer.epoch % self._config.save_frequency == 0:
            names.append(epoch_file(trainer.epoch))
        if self._config.save_best and trainer.improved:
            names.append(BEST_FILE)
        if not names and not trainer.done:
            return None
        snapshot = self._snapshot(trainer)
        return write_behind(lambda: self._save(snapshot, names))

    def save_latest(self, trainer: Trainer) -> Path:
        """Makes `latest.pt` hold the trainer's present state; returns its path.

        A training that has diverged leaves the last good state there, if there is one.
        """
        if trainer.diverged and self.latest.exists():
            return self.latest
        if self._saved_epoch != trainer.epoch or not self.latest.exists():
            self._save(self._snapshot(trainer), [])
        return self.latest

    def save_into(self, trainer: Trainer, path: Path) -> None:
        """Gives the present state a name outside the layout; written only if not on disk yet."""
        if self._config.enabled:
            add_name(self.save_latest(trainer), path)
        else:
            checkpoint.write_checkpoint(trainer.state_dict(), [path])

    def end(self, *, failed: bool) -> None:
        """Says in the event file that the training has come to its end, good or bad."""
        if self._curves is not None:
            self._curves.end(failed=failed)

    def close(self) -> None:
        """Flushes and closes the event files."""
        if self._curves is not None:
            self._curves.close()

    def _snapshot(self, trainer: Trainer) -> Snapshot:
        self._last = take_snapshot(trainer, self._last)  # what is asked for has been written
        return self._last

    def _save(self, snapshot: Snapshot, names: list[str]) -> None:
        paths = [self.checkpoints / name for name in (*names, LATEST_FILE)]
        self._check_free_space()
        try:
            snapshot.wait()
            checkpoint.write_checkpoint(snapshot.state, paths)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFullError(f"{self.checkpoints}: no space left on the disk") from error
            raise
        self._saved_epoch = snapshot.epoch
        if self._keep_epochs is not None:
            # By age, not by name: after a step back, later epochs' files are the older ones.
            files = self.checkpoints.glob(EPOCH_FILES)
            old = sorted(files, key=lambda path: path.stat().st_mtime_ns)
            for path in old[: max(0, len(old) - self._keep_epochs)]:
                path.unlink()

    def _check_free_space(self) -> None:
        free = shutil.disk_usage(self.checkpoints).free / 2**30
        if free < self._min_free_gib:
            raise DiskFullError(
                f"{self.checkpoints}: {free:.2f} GiB are free on the disk, "
                f"keep.min_free_gib asks for {self._min_free_gib:g}"
            )
