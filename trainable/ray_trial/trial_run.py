"""One trial's training and what it leaves in its directory, without a process of its own.

Built from a trial's config, stepped, saved, loaded and closed; who calls that is another's
matter: `classifier.py` does for Ray Tune.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainable.artifacts.checkpoint import read_checkpoint, write_checkpoint
from trainable.artifacts.names import BEST_FILE, CHECKPOINT_FILE, LOG_FILE
from trainable.artifacts.tensorboard_hparams import Session
from trainable.artifacts.trial_log import TrialLog, epoch_line
from trainable.atomic_files import add_name, remove_temporaries
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import flatten
from trainable.config.override import override
from trainable.experiment.directory import Experiment
from trainable.storage.experiment import local_file
from trainable.storage.trial import StoredTrial
from trainable.training.device import limited_device
from trainable.training.epoch import Steps, drain
from trainable.training.overlapped_epoch import OverlappedEpoch
from trainable.training.seeding import draws_globally
from trainable.training.trainer import Row, Trainer
from trainable.trial_settings import (
    ENDED,
    HYPERPARAMETERS,
    REMOTE,
    SAVED,
    SETTINGS,
    WORKERS,
)

POLL_S = 0.0002
"""Between two looks at a checkpoint being written and the GPU, with nothing else to do."""


class TrialRun:
    """The training of one trial.

    It is built when it is first needed: a failure to build it (no data, no memory) is then one of
    the trial, with its retries.

    Args:
        config: A complete training config, nested, plus `SETTINGS`. Dotted keys at its top, such
            as `optimizer.learning_rate`, win over the nested ones.
        trial_id: Of the trial.
        directory: The experiment directory; None where nothing is left behind.
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
        keeps = directory is not None and self._config.checkpoint.enabled
        self._log = TrialLog(directory / LOG_FILE if directory and keeps else None)
        self._trainer: Trainer | None = None
        self._experiment: Experiment | None = None
        self._ahead: OverlappedEpoch | None = None
        self._logged_notes: list[str] = []

    @property
    def draws_globally(self) -> bool:
        """Whether the training may draw from the global random number generators."""
        return draws_globally(self._config)

    def step(self) -> Row:
        """Trains one epoch and saves what is due before anyone hears of it.

        A training whose loss is no longer finite ends here; its last good checkpoint stays.

        Returns:
            The epoch's metrics, with `SAVED` and `ENDED`.
        """
        return drain(self.steps())

    def steps(self) -> Steps[Row]:
        """`step` in steps: something else may be done between two of them."""
        return self._log.capture_steps(self._epoch())

    def save_into(self, directory: Path) -> None:
        """Names the present state in a directory; it is written only if it is nowhere yet."""
        trainer = self._training()
        remove_temporaries(directory)  # a worker may have been lost in a save there
        path = directory / CHECKPOINT_FILE
        if self._experiment is not None and self._ahead is not None:
            add_name(self._experiment.latest, path)  # the training itself has gone on
        elif self._experiment is not None:
            self._experiment.save_into(trainer, path)
        else:
            write_checkpoint(trainer.state_dict(), [path])
        if self._stored is not None:
            self._stored.upload_checkpoint(directory)

    def load(self, directory: Path) -> None:
        """Continues from a directory of this trial's, or (PBT) of another's.

        Weights, optimizer buffers, epoch and schedule position are the checkpoint's; every
        hyperparameter is this trial's own, and so is its best accuracy: that of its `best.pt`.
        """
        with self._log.capture():
            self._load(directory)

    def close(self) -> None:
        """Closes files and drops the model."""
        experiment = self._experiment
        self._trainer = self._experiment = self._ahead = None
        try:
            if experiment is not None:
                experiment.close()  # on a full disk it fails
        finally:
            if self._stored is not None:
                self._stored.close()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _training(self) -> Trainer:
        """The training, built at the first call; loads `checkpoint.resume` where there is one."""
        if self._trainer is not None:
            return self._trainer
        config, settings = self._config, self._settings
        if self._stored is not None:
            self._stored.open()
        self._log.write_header()
        trainer = Trainer(
            config,
            device=limited_device(float(settings.get("gpu", 1))),
            num_workers=min(config.dataset.num_workers, int(settings.get("cpu", 1))),
            allow_custom_model=bool(settings.get("allow_custom_model")),
        )
        if config.checkpoint.resume:
            with local_file(config.checkpoint.resume) as path:
                state = read_checkpoint(path)
            trainer.load_state_dict(state, own=settings.get("sampled", ()))
            self._log.write(f"goes on from {config.checkpoint.resume}, epoch {trainer.epoch}")
        for notice in trainer.notices:
            self._log.write(f"note: {notice}")
        if self._directory is not None:
            self._experiment = self._open(self._directory, trainer.config)
        self._trainer = trainer
        return trainer

    def _open(self, directory: Path, config: TrainConfig) -> Experiment:
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

    def _epoch(self) -> Steps[Row]:
        trainer = self._training()
        ahead, self._ahead = self._ahead, None
        row = yield from (ahead.finish() if ahead else trainer.epoch_steps())
        if self._settings.get(WORKERS):
            row["peak_memory_gib"] = None  # torch measures a whole process
        self._log.write(epoch_line(row, trainer.config.training.epochs))
        self._log_execution(trainer)
        diverged, ends = trainer.diverged, trainer.done or trainer.diverged
        if diverged:
            self._log.write("the loss is not finite: the training ends here")
        writing = None
        if self._experiment is not None:
            self._experiment.record(row)
            writing = self._experiment.begin_save(trainer)
            if writing is not None:
                self._ahead = None if ends else OverlappedEpoch(trainer)
                yield from self._while_writing(writing)
            if ends:
                self._experiment.end(failed=diverged)
        if self._stored is not None:
            yield from self._while_writing(self._stored.begin_upload())
        return {**row, SAVED: writing is not None, ENDED: ends}

    def _log_execution(self, trainer: Trainer) -> None:
        """Logs how steps are executed, whenever that changes."""
        for note in trainer.execution_notes:
            if note not in self._logged_notes:
                self._log.write(note)
        self._logged_notes = trainer.execution_notes

    def _while_writing(self, writing: Future[None]) -> Steps[None]:
        """Begins the next epoch until a checkpoint has been written."""
        try:
            while not writing.done():
                if self._ahead is None or self._ahead.is_done:
                    yield _Written(writing, None)
                elif self._ahead.waits_for_gpu:
                    yield _Written(writing, self._ahead)
                else:
                    self._ahead.take_step()
                    yield 0
        finally:
            wait([writing])  # also where the trial is closed: its directory has one writer
        writing.result()

    def _load(self, directory: Path) -> None:
        trainer = self._training()
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None
        state = self._read(directory)
        trainer.load_state_dict(state, own=HYPERPARAMETERS)
        self._log.write(f"goes on after epoch {trainer.epoch} of {directory.parent.name}")
        if self._experiment is None:
            return
        is_own = directory.parent == self._experiment.directory
        if not is_own and self._config.checkpoint.save_best:
            if self._stored is not None:
                self._stored.download(self._experiment.checkpoints / BEST_FILE)
            trainer.best_acc, trainer.best_epoch = self._experiment.best()
        self._experiment.rewind(trainer.epoch)

    def _read(self, directory: Path) -> dict[str, Any]:
        if self._stored is None:
            return read_checkpoint(directory / CHECKPOINT_FILE)
        with self._stored.checkpoint_file(directory) as path:
            return read_checkpoint(path)


@dataclass(frozen=True)
class _Written:
    """Event that is reached when a checkpoint is written or the next epoch can continue.

    Args:
        writing: Done with the checkpoint.
        ahead: Waits for the GPU; None if there is nothing to train meanwhile.
    """

    writing: Future[None]
    ahead: OverlappedEpoch | None

    def query(self) -> bool:
        """See `Event.query`."""
        return self.writing.done() or (self.ahead is not None and not self.ahead.waits_for_gpu)

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        while not self.query():
            wait([self.writing], timeout=None if self.ahead is None else POLL_S)


def _select_values(config: TrainConfig, keys: Iterable[str]) -> dict[str, Any]:
    """Returns a config's values of dotted keys, without the keys that it does not have."""
    values = flatten(config.to_dict(), keep_mappings=True)
    return {key: values[key] for key in keys if key in values}
