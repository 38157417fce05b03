"""The content of a checkpoint: collected from a training, and restored into one."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from torch import nn

from trainable.artifacts import checkpoint
from trainable.artifacts.saveable_state import find_unsaveable
from trainable.config import TrainConfig
from trainable.data.class_names import refuse_moves
from trainable.errors import CheckpointError, ModelError
from trainable.models import MODELS
from trainable.optim.optimizers import load_state

if TYPE_CHECKING:
    from trainable.training.trainer import Trainer


def collect_state(trainer: Trainer) -> dict[str, Any]:
    """Returns the content of a checkpoint; its tensors are the live ones.

    Raises:
        ModelError: No checkpoint can hold the state of the custom model.
    """
    check_saveable(trainer.config, trainer.model, has_run=True)
    state: dict[str, Any] = {
        **_collect_weights(trainer),
        checkpoint.OPTIMIZER: trainer.optimizer.state_dict(),
        checkpoint.SCHEDULER: trainer.schedule.state_dict(),
        checkpoint.EPOCH: trainer.epoch,
        checkpoint.BEST_ACC: trainer.best.acc,
        checkpoint.CONFIG: trainer.config.to_dict(),
        checkpoint.RESUME: {
            "format": checkpoint.FORMAT if trainer.average is None else checkpoint.AVERAGED_FORMAT,
            "seed": trainer.seed,
            checkpoint.IMAGE: list(trainer.source.shape),
            **trainer.best.to_state(),
        },
    }
    stopping = trainer.stopping.state_dict()
    if stopping is not None:
        state[checkpoint.RESUME][checkpoint.STOPPING] = stopping
    if trainer.scaler.is_enabled():
        state[checkpoint.SCALER] = trainer.scaler.state_dict()
    if trainer.source.split is not None:
        state[checkpoint.RESUME][checkpoint.SPLIT] = trainer.source.split.to_dict()
    return state


def _collect_weights(trainer: Trainer) -> dict[str, Any]:
    """Returns the better weights under the key that every reader knows; see `checkpoint`."""
    weights, average = trainer.model.state_dict(), trainer.average
    if average is None:
        return {checkpoint.MODEL: weights}
    raw = {checkpoint.RAW_MODEL: weights, checkpoint.UPDATES: average.updates}
    return {
        checkpoint.MODEL: average.model.state_dict(),
        checkpoint.WEIGHTS: checkpoint.AVERAGED,
        checkpoint.TRAINING: raw,
    }


def check_saveable(config: TrainConfig, model: nn.Module, *, has_run: bool) -> None:
    """Checks that a checkpoint can hold the state of a custom model.

    Raises:
        ModelError: None can.
    """
    name = config.model.name
    if not config.checkpoint.enabled or name in MODELS:
        return
    problem = find_unsaveable(model.state_dict(), has_run=has_run)
    if problem is not None:
        raise ModelError(f'model.name "{name}" cannot be saved: {problem}')


def restore_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Continues from a checkpoint: weights, optimizer, schedule, scaler, epoch, best accuracy.

    All hyperparameters are those of the training's config. A saved optimizer contains the ones it
    was trained with, which would undo a PBT mutation, a sampled value or a change of the user's.
    Momentum buffers, moments, step counts and the lr schedule's position are the checkpoint's.

    Args:
        trainer: The training; it is changed in place.
        state: As `checkpoint.read_checkpoint` returns it.

    Raises:
        CheckpointError: The state belongs to another model or optimizer, or to other labels.
    """
    moves = refuse_moves(state[checkpoint.CONFIG], trainer.source.class_names)
    if moves is not None:
        raise CheckpointError(moves)
    trainer.train_step.wait_for_copy()
    in_place = False
    try:
        trainer.model.load_state_dict(checkpoint.raw_weights(state))
        if trainer.average is not None:
            updates = state.get(checkpoint.TRAINING, {}).get(checkpoint.UPDATES, 0)
            trainer.average.load(state[checkpoint.MODEL], updates)
        in_place = load_state(
            trainer.optimizer, state[checkpoint.OPTIMIZER], trainer.config.optimizer
        )
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        reason = textwrap.shorten(str(error), 300)
        message = checkpoint.mismatch_message(state, trainer.config, reason)
        raise CheckpointError(message) from error
    finally:
        if trainer.graphs is not None and not in_place:
            trainer.graphs.forget()  # its addresses or numbers are no longer valid
    trainer.schedule.load_state_dict(state[checkpoint.SCHEDULER])
    trainer.schedule.set_base_lr(trainer.config.optimizer.learning_rate)
    if trainer.scaler.is_enabled() and checkpoint.SCALER in state:
        trainer.scaler.load_state_dict(state[checkpoint.SCALER])
    trainer.epoch = int(state[checkpoint.EPOCH])
    trainer.best.restore(state)
    extra = state.get(checkpoint.RESUME, {})
    epochs = checkpoint.saved_epochs(state)
    trainer.stopping.load_state_dict(extra.get(checkpoint.STOPPING), epochs=epochs)
    if not trainer.config.seed.enabled:
        trainer.seed = int(extra.get("seed", trainer.seed))
