"""A training as a Ray Tune trial: a thin adapter from Tune's hooks to `Trainer` and `Experiment`.

`step()` is one epoch. What is saved when is the training config's matter; Tune is told of every
save, so that a retry, a pause or a PBT exploit finds the newest state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.air.constants import TRAINING_ITERATION
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainable.checkpoint import read_checkpoint, write_checkpoint
from trainable.config import TrainConfig, parse_config
from trainable.experiment import Experiment
from trainable.files import remove_temporaries
from trainable.hparams import Session
from trainable.override import override
from trainable.trainer import Trainer
from trainable.trial_log import LOG_FILE, TrialLog, epoch_line
from trainable.trial_storage import CHECKPOINT_FILE, next_checkpoint_directory, trial_directory

SETTINGS = "_trial"
"""Key of the trial's config that holds what is not the training's: a mapping of

- `gpu`: the fraction of a card, or number of cards, that the trial may use;
- `cpu`: its share of cores;
- `sampled`: dotted keys of the config that the search space sets;
- `mutated`: those that a scheduler may change in mid-training;
- `keep_epochs`, `min_free_gib`: see `Experiment`;
- `allow_custom_model`: whether `model.name` may import a callable.
"""

HYPERPARAMETERS = ("optimizer.learning_rate", "optimizer.weight_decay", "optimizer.momentum")
"""What a restored trial takes from its own config, not from the checkpoint: all of `optimizer`."""

_ABSENT: Any = object()


class ClassifierTrainable(tune.Trainable):
    """One trial: an image classifier trained an epoch a step.

    The trial's config is a complete training config, nested, plus `SETTINGS`. Dotted keys at its
    top, such as `optimizer.learning_rate`, win over the nested ones: a scheduler that changes
    values in mid-training changes those. The trial's directory in Tune's storage is the
    experiment directory.
    """

    _trainer: Trainer | None = None
    _experiment: Experiment | None = None
    _log = TrialLog(None)

    def setup(self, config: dict[str, Any]) -> None:
        """Takes the config; the training is built when it is first needed.

        A failure to build it (no data, no memory) is then one of the trial, with its retries;
        raised here or in `reset_config`, Tune would give the trial up.
        """
        for name in ("ray.train._internal.storage", "ray.tune.trainable.trainable"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = dict(config.get(SETTINGS, {}))
        dotted = {key: value for key, value in config.items() if "." in key}
        sections = {k: v for k, v in config.items() if k not in dotted and k != SETTINGS}
        self._train_config = parse_config(override(sections, dotted), "trial")
        directory = trial_directory(self._storage)
        keeps = directory is not None and self._train_config.checkpoint.enabled
        self._log = TrialLog(directory / LOG_FILE if directory and keeps else None)

    def _training(self) -> Trainer:
        """The training, built at the first call; loads `checkpoint.resume` where there is one."""
        if self._trainer is not None:
            return self._trainer
        config, settings = self._train_config, self._settings
        self._log.say_where()
        trainer = Trainer(
            config,
            device=_device(float(settings.get("gpu", 1))),
            num_workers=min(config.dataset.num_workers, int(settings.get("cpu", 1))),
            allow_custom_model=bool(settings.get("allow_custom_model")),
        )
        if config.checkpoint.resume:
            state = read_checkpoint(config.checkpoint.resume)
            trainer.load_state_dict(state, own=settings.get("sampled", ()))
            self._log.say(f"goes on from {config.checkpoint.resume}, epoch {trainer.epoch}")
        for notice in trainer.notices:
            self._log.say(f"note: {notice}")
        directory = trial_directory(self._storage)
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._experiment = Experiment(
                directory,
                trainer.config,
                keep_metrics=True,
                keep_epochs=settings.get("keep_epochs"),
                min_free_gib=float(settings.get("min_free_gib", 0)),
                session=self._session(trainer.config),
            )
        self._trainer = trainer
        return trainer

    def _session(self, config: TrainConfig) -> Session:
        """What the HParams page shows: this trial's values as they have come out."""
        settings = self._settings
        sampled = _values(config, settings.get("sampled", ()))
        return Session(self.trial_id, sampled, _values(config, settings.get("mutated", ())))

    def step(self) -> dict[str, Any]:
        """Trains one epoch and saves what is due before anyone hears of it.

        A training whose loss is no longer finite ends here; its last good checkpoint stays.
        """
        with self._log.capturing():
            return self._step(self._training())

    def _step(self, trainer: Trainer) -> dict[str, Any]:
        row = trainer.run_epoch()
        self._log.say(epoch_line(row, trainer.config.training.epochs))
        if trainer.diverged:
            self._log.say("the loss is not finite: the training ends here")
        saved = False
        if self._experiment is not None:
            self._experiment.record(row)
            saved = self._experiment.save_due(trainer)
            if trainer.done or trainer.diverged:
                self._experiment.end(failed=trainer.diverged)
        return {
            **row,
            TRAINING_ITERATION: trainer.epoch,
            SHOULD_CHECKPOINT: saved,
            DONE: trainer.done or trainer.diverged,
        }

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Saves straight into Tune's final directory: the state is written once."""
        return super().save(checkpoint_dir or next_checkpoint_directory(self._storage))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Names the present state in a directory; it is written only if it is nowhere yet."""
        trainer = self._training()
        remove_temporaries(Path(checkpoint_dir))  # a worker may have been lost in a save there
        path = Path(checkpoint_dir) / CHECKPOINT_FILE
        if self._experiment is not None:
            self._experiment.save_into(trainer, path)
        else:
            write_checkpoint(trainer.state_dict(), [path])

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Continues from a directory of this trial's, or (PBT) of another's.

        Weights, optimizer buffers, epoch and schedule position are the checkpoint's; every
        hyperparameter is this trial's own, and so is its best accuracy: that of its `best.pt`.
        """
        with self._log.capturing():
            self._load(checkpoint_dir)

    def _load(self, checkpoint_dir: Any) -> None:
        trainer = self._training()
        state = read_checkpoint(Path(checkpoint_dir) / CHECKPOINT_FILE)
        trainer.load_state_dict(state, own=HYPERPARAMETERS)
        donor = Path(checkpoint_dir).parent.name
        self._log.say(f"goes on after epoch {trainer.epoch} of {donor}")
        if self._experiment is None:
            return
        is_own = Path(checkpoint_dir).parent == self._experiment.directory
        if not is_own and self._train_config.checkpoint.save_best:
            trainer.best_acc, trainer.best_epoch = self._experiment.best()
        self._experiment.start(trainer.epoch)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes another trial: everything of the old one goes, the process stays."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Closes files and drops the model."""
        if self._experiment is not None:
            self._experiment.close()
        self._trainer = self._experiment = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _values(config: TrainConfig, keys: Iterable[str]) -> dict[str, Any]:
    """A config's values of dotted keys, without those that it does not have."""
    data = config.to_dict()
    found = {}
    for key in keys:
        value: Any = data
        for part in key.split("."):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is not _ABSENT:
            found[key] = value
    return found


def _device(gpu: float) -> torch.device:
    """The trial's device, its memory fenced to the fraction of the card that was asked for."""
    if gpu == 0 or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda")
    torch.cuda.set_per_process_memory_fraction(min(gpu, 1.0), device)
    return device
