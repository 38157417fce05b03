"""`TrialRun`: the training of one trial and the files in its directory, independent of Ray.

`classifier.py` runs it as a Ray Tune trial, `shared_worker.py` runs several of them in turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from trainable.artifacts.checkpoint import read_checkpoint, write_checkpoint
from trainable.artifacts.class_metrics import split_row
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINT_FILE,
    LOG_FILE,
    METRICS_FILE,
    epoch_file,
)
from trainable.artifacts.tensorboard_hparams import Session
from trainable.artifacts.trial_log import TrialLog, epoch_line
from trainable.atomic_files import add_name, remove_temporaries
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import flatten
from trainable.config.override import override
from trainable.config.own_code import add_code_directories
from trainable.data.source import prepare_training
from trainable.data.splits.record import SplitRecord
from trainable.errors import ExperimentError, naming_full_disk
from trainable.experiment.directory import Experiment
from trainable.experiment.resume import (
    Origin,
    continue_config,
    describe_resumption,
    inherit_best,
    open_origin,
)
from trainable.ray_trial.checkpoint_event import CheckpointEvent
from trainable.storage.trial import StoredTrial
from trainable.training.device import limited_device, naming_device
from trainable.training.epoch import Steps, drain
from trainable.training.overlapped_epoch import OverlappedEpoch
from trainable.training.saved_split import saved_split
from trainable.training.seeding import draws_globally
from trainable.training.trainer import Row, Trainer
from trainable.trial_settings import (
    ENDED,
    REMOTE,
    SAVED,
    SETTINGS,
    SPLIT,
    VALUES,
    WEIGHTS,
    WORKERS,
)


class TrialRun:
    """The training of one trial.

    It is built when it is first needed, so that a failure to build it (no data, no memory) fails
    the trial and is retried.

    Args:
        config: A complete nested training config, plus `SETTINGS`. Dotted keys at its top level,
            such as `optimizer.learning_rate`, win over the nested ones.
        trial_id: The trial's id.
        directory: The experiment directory; None writes no files.
    """

    def __init__(self, config: dict[str, Any], trial_id: str, directory: Path | None) -> None:
        self._trial_id = trial_id
        self._directory = directory
        self._settings = dict(config.get(SETTINGS, {}))
        dotted = {key: value for key, value in config.items() if "." in key}
        sections = {k: v for k, v in config.items() if k not in dotted and k != SETTINGS}
        self._config = parse_config(override(sections, dotted), "trial")
        remote = self._settings.get(REMOTE)
        self._stored = StoredTrial(directory, **remote) if directory and remote else None
        self._log = TrialLog(directory / LOG_FILE if directory else None)
        self._trainer: Trainer | None = None
        self._experiment: Experiment | None = None
        self._next_epoch: OverlappedEpoch | None = None
        self._logged_notes: list[str] = []

    @property
    def draws_globally(self) -> bool:
        """Whether the training may draw from the global random number generators."""
        return draws_globally(self._config)

    def step(self) -> Row:
        """Trains one epoch and saves what is due.

        A training ends when its loss is not finite; its last good checkpoint stays.

        Returns:
            The epoch's metrics, with `SAVED` and `ENDED`.
        """
        return drain(self.steps())

    def steps(self) -> Steps[Row]:
        """Trains one epoch as `step` does, but step by step."""
        with self._naming_full_disk(), naming_device(float(self._settings.get("gpu", 1))):
            return (yield from self._log.capture_steps(self._train_epoch()))

    def save_into(self, directory: Path) -> None:
        """Saves the present state into a directory; writes it only if it is not on disk yet."""
        with self._naming_full_disk():
            self._save_into(directory)

    def _save_into(self, directory: Path) -> None:
        trainer = self._build()
        remove_temporaries(directory)  # a worker may have been lost while it saved there
        path = directory / CHECKPOINT_FILE
        if self._experiment is not None and self._next_epoch is not None:
            add_name(self._experiment.latest, path)  # the training is already ahead of it
        elif self._experiment is not None:
            self._experiment.save_into(trainer, path)
        else:
            write_checkpoint(trainer.state_dict(), [path])
        if self._stored is not None:
            self._stored.upload_checkpoint(directory)

    def load(self, directory: Path) -> None:
        """Restores the state in a directory of this trial or, after a PBT exploit, of another.

        Weights, optimizer buffers, epoch and lr schedule position are the checkpoint's. Every
        hyperparameter stays this trial's own, and so does the best accuracy, that of `best.pt`.
        """
        with self._naming_full_disk(), self._log.capture():
            self._load(directory)

    def close(self) -> None:
        """Closes files and drops the model."""
        experiment = self._experiment
        self._trainer = self._experiment = self._next_epoch = None
        try:
            if experiment is not None:
                experiment.close()  # fails on a full disk
        finally:
            if self._stored is not None:
                self._stored.close()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _naming_full_disk(self) -> AbstractContextManager[None]:
        return naming_full_disk(self._directory) if self._directory else nullcontext()

    def _build(self, restored: dict[str, Any] | None = None) -> Trainer:
        """Returns the trainer; the first call builds it.

        Args:
            restored: The checkpoint that the caller loads next. Without one, the training
                continues from `checkpoint.resume`, if that is set.
        """
        if self._trainer is not None:
            return self._trainer
        settings = self._settings
        if self._stored is not None:
            self._stored.open()
        self._log.write_header()
        add_code_directories(settings.get("code_directories", ()))
        with ExitStack() as stack:
            config = stack.enter_context(self._with_weights(is_new=restored is None))
            origin, state = None, restored
            if restored is None and config.checkpoint.resume:
                origin = stack.enter_context(open_origin(config.checkpoint.resume))
                state = origin.state
            trainer = Trainer(
                continue_config(config, state),
                device=limited_device(float(settings.get("gpu", 1))),
                num_workers=min(config.dataset.num_workers, int(settings.get("cpu", 1))),
                allow_custom_model=bool(settings.get("allow_custom_model")),
                split=self._find_split(state),
                pretrained=state is None,
            )
            if origin is not None:
                self._write_lines(origin.load(trainer))
            prepare_training(trainer.source)
            for notice in trainer.notices:
                self._log.write(f"note: {notice}")
            if self._directory is not None:
                self._experiment = self._open_experiment(self._directory, trainer.config)
                self._experiment.write_split(trainer.source)
                if origin is not None:
                    self._inherit(origin, trainer, self._experiment)
        self._trainer = trainer
        return trainer

    @contextmanager
    def _with_weights(self, *, is_new: bool) -> Iterator[TrainConfig]:
        """Yields the config with the file of the weights that the trial starts from.

        Args:
            is_new: Whether the file will be read, because no checkpoint is restored.
        """
        name = self._settings.get(WEIGHTS)
        if name is None or self._directory is None:
            yield self._config
            return
        path = self._directory.parent / name
        with ExitStack() as stack:
            if self._stored is not None and is_new:
                path = stack.enter_context(self._stored.sweep_file(name))
            model = self._config.model.model_copy(update={"pretrained": str(path)})
            yield self._config.model_copy(update={"model": model})

    def _find_split(self, state: dict[str, Any] | None) -> SplitRecord | None:
        """Returns the sweep's split, else that of the checkpoint that the trial continues."""
        if self._settings.get(SPLIT) is not None:
            return SplitRecord.from_dict(self._settings[SPLIT])
        return None if state is None else saved_split(state, self._config.dataset)

    def _inherit(self, origin: Origin, trainer: Trainer, experiment: Experiment) -> None:
        """Gives the trial its starting point and the best state of its history as files."""
        if not self._config.checkpoint.enabled:
            return
        # First, or a trial that is killed now would be restored from the best epoch.
        add_name(origin.path, experiment.latest)
        if self._stored is not None:
            self._stored.upload()
        if self._config.checkpoint.save_best:
            self._write_lines(inherit_best(trainer, origin, experiment.checkpoints))

    def _write_lines(self, lines: list[str]) -> None:
        for line in lines:
            self._log.write(line)

    def _open_experiment(self, directory: Path, config: TrainConfig) -> Experiment:
        directory.mkdir(parents=True, exist_ok=True)
        settings = self._settings
        sampled = _select_values(config, settings.get("sampled", ()))
        mutated = _select_values(config, settings.get("mutated", ()))
        return Experiment(
            directory,
            config,
            keep_metrics=True,
            keep_epochs=settings.get("keep_epochs"),
            min_free_gib=float(settings.get("min_free_gib", 0)),
            session=Session(self._trial_id, sampled, mutated),
        )

    def _train_epoch(self) -> Steps[Row]:
        trainer = self._build()
        started, self._next_epoch = self._next_epoch, None
        if started is None and trainer.ended:
            return {**self._read_last_row(trainer), SAVED: False, ENDED: True}
        row = yield from (started.finish() if started else trainer.epoch_steps())
        if self._settings.get(WORKERS):
            row["peak_memory_gib"] = None  # torch only measures the whole process
        epochs = trainer.config.training.epochs
        self._log.write(epoch_line(row, epochs, improved=trainer.improved))
        self._log_execution(trainer)
        ended = trainer.ended or trainer.diverged
        if ended:
            self._log_end(trainer, row)
        saved = False
        if self._experiment is not None:
            saved = yield from self._save_epoch(self._experiment, trainer, row, ended=ended)
            if ended:
                self._experiment.end(failed=trainer.diverged)
        if self._stored is not None:
            yield from self._while_writing(self._stored.begin_upload())
        return {**split_row(row)[0], SAVED: saved, ENDED: ended}

    def _log_end(self, trainer: Trainer, row: Row) -> None:
        """Logs why a training ends, and its best epoch."""
        if trainer.diverged:
            self._log.write("the loss is not finite: the training ends here")
            return
        stop = trainer.stopping.stop
        if stop is not None:
            self._log.write(stop.text)
        if trainer.best.epoch:
            state = "finished" if stop is None else "stopped"
            self._log.write(f"{state}: {trainer.best.describe_end(row)}")

    def _save_epoch(
        self, experiment: Experiment, trainer: Trainer, row: Row, *, ended: bool
    ) -> Steps[bool]:
        """Records an epoch and saves what is due; returns whether anything was.

        An epoch that could not be saved is not recorded either: it will be trained again.
        """
        try:
            experiment.record({**row, **self._changing_values(trainer)})
            writing = experiment.begin_save(trainer)
            if writing is not None:
                self._next_epoch = None if ended else OverlappedEpoch(trainer)
                yield from self._while_writing(writing)
        except Exception:
            with suppress(OSError):  # a full disk; a resume does it again
                experiment.rewind(row["epoch"] - 1)
            raise
        return writing is not None

    def _read_last_row(self, trainer: Trainer) -> Row:
        """Returns the last epoch's metrics once more, for a retry that has nothing to train."""
        rows = read_rows(self._directory / METRICS_FILE) if self._directory else []
        if not rows or rows[-1]["epoch"] != trainer.epoch:
            raise ExperimentError(
                f"the trial has completed epoch {trainer.epoch} of "
                f"{trainer.config.training.epochs}, but {METRICS_FILE} does not end with it"
            )
        self._log.write("nothing is left to train: the trial ends here")
        return rows[-1]

    def _changing_values(self, trainer: Trainer) -> Row:
        """Returns what a row records of the values that the epoch was trained with."""
        if not self._settings.get("mutated"):
            return {}
        return {VALUES: _select_values(trainer.config, self._settings.get("sampled", ()))}

    def _log_execution(self, trainer: Trainer) -> None:
        """Logs how steps are executed, whenever that has changed."""
        for note in trainer.execution_notes:
            if note not in self._logged_notes:
                self._log.write(note)
        self._logged_notes = trainer.execution_notes

    def _while_writing(self, writing: Future[None]) -> Steps[None]:
        """Trains the next epoch until a checkpoint has been written."""
        try:
            while not writing.done():
                if self._next_epoch is None or self._next_epoch.is_done:
                    yield CheckpointEvent(writing, None)
                elif self._next_epoch.waits_for_gpu:
                    yield CheckpointEvent(writing, self._next_epoch)
                else:
                    self._next_epoch.take_step()
                    yield 0
        finally:
            wait([writing])  # also when the trial is closed: its directory has one writer
        writing.result()

    def _load(self, directory: Path) -> None:
        state = self._read(directory)
        trainer = self._build(state)
        if self._next_epoch is not None:
            self._next_epoch.cancel()
            self._next_epoch = None
        trainer.load_state_dict(state)
        self._log.write(f"continues after epoch {trainer.epoch} of {directory.parent.name}")
        self._write_lines(describe_resumption(trainer, state))
        if self._experiment is None:
            return
        is_own = directory.parent == self._experiment.directory
        if not is_own:
            trainer.stopping.restart()  # it trains on with its own values
        if not is_own and self._config.checkpoint.save_best:
            self._restore_best(trainer, self._experiment)
        self._experiment.rewind(trainer.epoch)

    def _restore_best(self, trainer: Trainer, experiment: Experiment) -> None:
        """Gives the trainer the best of this trial's own epochs, after a PBT exploit.

        An exploit may go back to before the epoch of `best.pt`, which is then trained again. The
        best of the other epochs takes its place, with its own checkpoint if it has one.
        """
        file = experiment.checkpoints / BEST_FILE
        self._download(file)
        experiment.restore_best(trainer.best)
        if 0 < trainer.best.epoch <= trainer.epoch:
            return
        rows = read_rows(experiment.directory / METRICS_FILE)
        trainer.best.find(row for row in rows if row["epoch"] <= trainer.epoch)
        own = experiment.checkpoints / epoch_file(trainer.best.epoch)
        if own.exists():
            self._download(own)
            add_name(own, file)
        else:
            file.unlink(missing_ok=True)

    def _download(self, path: Path) -> None:
        if self._stored is not None:
            self._stored.download(path)

    def _read(self, directory: Path) -> dict[str, Any]:
        if self._stored is None:
            return read_checkpoint(directory / CHECKPOINT_FILE)
        with self._stored.checkpoint_file(directory) as path:
            return read_checkpoint(path)


def _select_values(config: TrainConfig, keys: Iterable[str]) -> dict[str, Any]:
    """Returns a config's values of dotted keys, without the keys that it does not have."""
    values = flatten(config.to_dict(), keep_mappings=True)
    return {key: values[key] for key in keys if key in values}
