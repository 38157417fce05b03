"""The layout of an experiment directory, and which files are written when.

resnet20_digits_20240115_143022/
|-- config.yaml                the complete config: trains the same again
|-- checkpoints/               epoch_0010.pt ... latest.pt best.pt, hard links to the same files
|-- tensorboard/               event files, with tensorboard.enabled
|-- metrics.jsonl              one row per epoch, in a sweep only
|-- classes.jsonl              the metrics of every class, one row per epoch; if there are any
|-- split.csv                  the split of every image, of data sets of files
`-- abandoned_1/               later epochs than the one resumed here, see `resume.py`

In a sweep, a trial's directory is an experiment directory. `artifacts/names.py` has the names of
the files, `artifacts/checkpoint.py` the content of a `.pt` file. `Experiment._list_due_files`
decides what is saved after an epoch.
"""

from __future__ import annotations

import itertools
import shutil
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from trainable.artifacts import checkpoint
from trainable.artifacts.class_metrics import shorten_matrices, split_row
from trainable.artifacts.metrics import MetricsFile
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINTS,
    CLASSES_FILE,
    CONFIG_FILE,
    EPOCH_FILES,
    LATEST_FILE,
    METRICS_FILE,
    SPLIT_TABLE,
    TENSORBOARD,
    automatic_name,
    epoch_file,
)
from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.artifacts.tensorboard_hparams import Session
from trainable.atomic_files import add_name, remove_temporaries, write_text
from trainable.config import CheckpointConfig, TrainConfig
from trainable.config.yaml_reader import dump_yaml
from trainable.data.source import ImageSource
from trainable.data.splits.table import write_split_table
from trainable.errors import DiskFullError, ExperimentError, naming_full_disk
from trainable.experiment.async_checkpoint import Snapshot, take_snapshot, write_in_background
from trainable.metrics.best_epoch import BestEpoch
from trainable.training.device import GIB
from trainable.training.trainer import Row, Trainer


def create_directory(config: TrainConfig, now: datetime) -> Path:
    """Creates the directory of a new experiment; concurrent callers get different ones.

    Raises:
        ExperimentError: The directory with the custom name contains another experiment.
    """
    base = Path(config.checkpoint.dir).absolute()
    custom = config.checkpoint.experiment_name
    try:
        base.mkdir(parents=True, exist_ok=True)
        if custom:
            return _create_custom_directory(base / custom, config.checkpoint)
        return create_unique_directory(base, automatic_name(config, now))
    except OSError as error:
        raise ExperimentError(f"cannot create an experiment in {base}: {error}") from error


def create_unique_directory(base: Path, name: str) -> Path:
    """Creates a directory with this name, or with `_2`, `_3`... appended if the name is taken."""
    for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(2))):
        directory = base / f"{name}{suffix}"
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise AssertionError("itertools.count never ends")


def _create_custom_directory(directory: Path, config: CheckpointConfig) -> Path:
    """Returns the named directory: a new or empty one, or the one that `resume` points into."""
    resume = config.resume
    if resume is not None and Path(resume).resolve().is_relative_to(directory.resolve()):
        return directory
    try:
        if directory.exists() and any(directory.iterdir()):
            raise FileExistsError
        # Of two concurrent callers, the one that creates this subdirectory gets the name.
        (directory / CHECKPOINTS).mkdir(parents=True)
    except FileExistsError:
        latest = directory / CHECKPOINTS / LATEST_FILE
        raise ExperimentError(
            f"{directory} already holds an experiment; set checkpoint.resume to {latest} to "
            "continue it, or choose another checkpoint.experiment_name"
        ) from None
    return directory


class Experiment:
    """Writes the files of one training into its experiment directory.

    Args:
        directory: An existing directory that no other process writes to.
        config: The training's config, which decides what is saved; it becomes `config.yaml`.
        keep_metrics: Whether to write `metrics.jsonl`.
        keep_epochs: Number of `epoch_NNNN.pt` to keep, the newest ones; None keeps all.
        min_free_gib: Free disk space below which saving fails.
        session: The training's entry on TensorBoard's HParams page; None for no entry.
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
        # Only these: the sweep's driver writes other files there.
        for name in (CONFIG_FILE, METRICS_FILE, CLASSES_FILE, SPLIT_TABLE):
            remove_temporaries(directory, name)
        self._keep_epochs = keep_epochs
        self._min_free_gib = min_free_gib
        self._saved_epoch: int | None = None
        self._last_snapshot: Snapshot | None = None
        self._recorded_epoch: int | None = None
        self._metrics = MetricsFile(directory / METRICS_FILE) if keep_metrics else None
        self._classes = MetricsFile(directory / CLASSES_FILE)
        self._class_names = config.dataset.classes or ()
        self._tensorboard = (
            TensorBoardWriter(directory / TENSORBOARD, session)
            if config.tensorboard.enabled
            else None
        )
        write_text(directory / CONFIG_FILE, dump_yaml(config.to_dict()))

    def write_split(self, source: ImageSource) -> None:
        """Writes which image is in which split, if the data set is one of files."""
        if source.divided is not None:
            write_split_table(self.directory, source.divided)

    @property
    def latest(self) -> Path:
        """Path of the most recent checkpoint, which may not exist yet."""
        return self.checkpoints / LATEST_FILE

    @property
    def is_unused(self) -> bool:
        """Whether no epoch has been recorded and there is no checkpoint."""
        return self._recorded_epoch is None and not any(self.checkpoints.glob("*.pt"))

    def remove(self) -> None:
        """Removes the directory, and the one that it is in if nothing else is there."""
        shutil.rmtree(self.directory, ignore_errors=True)
        with suppress(OSError):
            self.directory.parent.rmdir()

    def rewind(self, epoch: int) -> None:
        """Removes the metrics of all epochs after this one, so that training continues there.

        Args:
            epoch: The last completed epoch; 0 for a new training.
        """
        self._saved_epoch = None
        self._recorded_epoch = epoch
        self._classes.truncate(epoch)
        if self._metrics is not None:
            self._metrics.truncate(epoch)
        if self._tensorboard is not None:
            self._tensorboard.truncate(epoch)

    def record(self, row: Row) -> None:
        """Records one epoch's metrics and replaces those of the same and of later epochs.

        Args:
            row: The metrics; those that have a value for every class go into their own file.
        """
        if self._recorded_epoch != row["epoch"] - 1:
            self.rewind(row["epoch"] - 1)
        self._recorded_epoch = row["epoch"]
        numbers, per_class = split_row(row)
        if per_class:
            self._classes.append({"epoch": row["epoch"], **shorten_matrices(per_class)})
        if self._metrics is not None:
            self._metrics.append(numbers)
        if self._tensorboard is not None:
            self._tensorboard.append(numbers, per_class, self._class_names)

    def restore_best(self, best: BestEpoch) -> None:
        """Sets the best epoch to that of `best.pt`, or to none without such a file."""
        path = self.checkpoints / BEST_FILE
        if not path.exists():
            best.set(0, None, 0.0)
            return
        state = checkpoint.read_checkpoint(path)
        best.restore(state)
        if best.epoch:
            best.epoch = int(state[checkpoint.EPOCH])

    def begin_save(self, trainer: Trainer) -> Future[None] | None:
        """Starts to save the files that are due after an epoch; training may continue meanwhile.

        Returns:
            A future that is done when the files have their names; None if nothing is due.
        """
        names = self._list_due_files(trainer)
        if not names:
            return None
        snapshot = self._take_snapshot(trainer)
        return write_in_background(lambda: self._save(snapshot, names))

    def save_latest(self, trainer: Trainer) -> Path:
        """Saves the trainer's present state as `latest.pt`, unless it has it; returns its path.

        If the training has diverged, the last good state stays there.
        """
        if trainer.diverged and self.latest.exists():
            return self.latest
        if self._saved_epoch != trainer.epoch or not self.latest.exists():
            self._save(self._take_snapshot(trainer), [LATEST_FILE])
        return self.latest

    def save_into(self, trainer: Trainer, path: Path) -> None:
        """Gives the present state another path; writes it only if it is not on disk yet.

        A training that diverged before its first checkpoint gets no `latest.pt`: it would have to
        be trained from the start.
        """
        is_lost = trainer.diverged and not self.latest.exists()
        if self._config.enabled and not is_lost:
            add_name(self.save_latest(trainer), path)
        else:
            checkpoint.write_checkpoint(trainer.state_dict(), [path])

    def end(self, *, failed: bool) -> None:
        """Marks the training as ended in its event file."""
        if self._tensorboard is not None:
            self._tensorboard.end(failed=failed)

    def close(self) -> None:
        """Flushes and closes the event files."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _list_due_files(self, trainer: Trainer) -> list[str]:
        """Returns the names of the checkpoints to write after an epoch; empty for none.

        Every `save_frequency`-th epoch gets its `epoch_NNNN.pt`, and an improvement `best.pt`.
        `latest.pt` is written with either of them, and after the last epoch. Nothing is due with
        `checkpoint.enabled: false` or after the training has diverged.
        """
        if not self._config.enabled or trainer.diverged:
            return []
        names = []
        if trainer.epoch % self._config.save_frequency == 0:
            names.append(epoch_file(trainer.epoch))
        if self._config.save_best and trainer.improved:
            names.append(BEST_FILE)
        return [*names, LATEST_FILE] if names or trainer.ended else []

    def _take_snapshot(self, trainer: Trainer) -> Snapshot:
        # The last snapshot has been written: its memory can be reused.
        self._last_snapshot = take_snapshot(trainer, self._last_snapshot)
        return self._last_snapshot

    def _save(self, snapshot: Snapshot, names: list[str]) -> None:
        paths = [self.checkpoints / name for name in names]  # `latest.pt` last
        self._check_free_space()
        with naming_full_disk(self.checkpoints):
            snapshot.wait()
            checkpoint.write_checkpoint(snapshot.state, paths)
        self._saved_epoch = snapshot.epoch
        if self._keep_epochs is not None:
            # Sorted by age: after a rewind, the files of later epochs are older.
            files = self.checkpoints.glob(EPOCH_FILES)
            old = sorted(files, key=lambda path: path.stat().st_mtime_ns)
            for path in old[: max(0, len(old) - self._keep_epochs)]:
                path.unlink()

    def _check_free_space(self) -> None:
        free = shutil.disk_usage(self.checkpoints).free / GIB
        if free < self._min_free_gib:
            raise DiskFullError(
                f"{self.checkpoints}: {free:.2f} GiB are free on the disk, "
                f"keep.min_free_gib asks for {self._min_free_gib:g}"
            )
