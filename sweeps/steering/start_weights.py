"""Takes the weights of a trial for another one that is to start from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.steering.view import SweepView
from sweeps.storage.location import copy_weights, download, evict, pull_trial
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import StartWeights, TrialRecord
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, LATEST_FILE
from trainable.config import TrainConfig, with_shape
from trainable.config.own_code import is_own_code
from trainable.config.sections.model import is_same_name
from trainable.errors import CheckpointError, ConfigError, TuneSweepsError

CLASS_KEYS = ("name", "args", "num_classes")
"""Keys of `dataset` with which trials can have different classes."""


def take_weights(
    view: SweepView, source: TrialRecord, config: TrainConfig, number: int
) -> StartWeights:
    """Copies a trial's `best.pt`, else its `latest.pt`, so that it stays as it is now.

    Args:
        view: The sweep.
        source: The trial.
        config: The training config of the trial that is to start.
        number: The number of that trial's configuration.

    Raises:
        SweepError: The trial has no good checkpoint, or that is of another model or other classes.
        ConfigError: The model of the config cannot be built.
    """
    if config.checkpoint.resume is not None:
        raise SweepError(
            "the trials of this sweep start from checkpoint.resume, so that none can start "
            "from other weights"
        )
    path = _find_checkpoint(view, source)
    earlier = source.config(view.spec)
    _check_sections(source, earlier, config)
    target = SweepLayout(view.directory).weights_file(number)
    target.parent.mkdir(exist_ok=True)
    copy_weights(path, target)
    from trainable.artifacts.checkpoint import EPOCH, read_checkpoint  # torch

    try:
        state = read_checkpoint(download(target))
        if earlier.model.args != config.model.args:
            _check_weights(source, config, state)
    except CheckpointError:
        target.unlink()
        raise SweepError(
            f"trial {source.id} gives no weights to start from: {path.name} is damaged"
        ) from None
    except TuneSweepsError:
        target.unlink()
        raise
    evict(target.parent)
    return StartWeights(source.id, int(state[EPOCH]), path.name)


def _find_checkpoint(view: SweepView, source: TrialRecord) -> Path:
    trial = view.directory / source.directory
    pull_trial(trial)
    for name in (BEST_FILE, LATEST_FILE):
        path = trial / CHECKPOINTS / name
        if path.exists():
            return path
    if not view.spec.training.checkpoint.enabled:
        reason = "checkpoint.enabled is false"
    elif source.started is None:
        reason = "it has not started"
    else:
        reason = f"it has completed no epoch, or keep.trials: {view.spec.keep.trials}"
    raise SweepError(f"trial {source.id} has no checkpoint to start from: {reason}")


def _check_sections(source: TrialRecord, earlier: TrainConfig, config: TrainConfig) -> None:
    """Checks that two configs have the same model and the same classes."""
    old, new = earlier.model, config.model
    if not is_same_name(old.name, new.name):
        raise SweepError(
            f"the weights of trial {source.id} are of model {old.name}, found {new.name}"
        )
    keys = ("num_classes", "in_channels", *(("args",) if is_own_code(new.name) else ()))
    pairs = [(f"model.{key}", getattr(old, key), getattr(new, key)) for key in keys]
    pairs += [
        (f"dataset.{key}", getattr(earlier.dataset, key, None), getattr(config.dataset, key, None))
        for key in CLASS_KEYS
    ]
    different = [f"{key} {before} -> {after}" for key, before, after in pairs if before != after]
    if different:
        raise SweepError(
            f"the weights of trial {source.id} are of another model or other classes: "
            + ", ".join(different)
        )


def _check_weights(source: TrialRecord, config: TrainConfig, state: Mapping[str, Any]) -> None:
    """Checks that a checkpoint has the weights of a model that is not the user's own."""
    from trainable.artifacts.checkpoint import CONFIG, MODEL
    from trainable.models import get_model_on_meta
    from trainable.models.weights import fit_weights

    saved = state[CONFIG]["model"]
    config = with_shape(config, saved["num_classes"], saved["in_channels"])
    model = get_model_on_meta(config)
    try:
        fit_weights(model, state[MODEL])
    except ConfigError as error:
        rule = error.problems[0].rule
        raise SweepError(f"the checkpoint of trial {source.id} {rule}") from None
