"""The checkpoint format: the keys of a `.pt` file, and how such a file is written, read, checked.

A checkpoint is one dict, saved by `torch.save`:

    model_state_dict, optimizer_state_dict, scheduler_state_dict
    scaler_state_dict            only with mixed precision in float16
    epoch, best_acc              last completed epoch (1-based); best accuracy so far
    config                       the complete training config
    resume_state                 what an exact resume needs besides: format, seed, best_epoch and,
                                 for images in folders, split; and image, their shape
    weights, training_state      only with `ema.enabled`: `weights` is "ema", which means that
                                 model_state_dict has the averaged weights; training_state has the
                                 weights that a resume trains on (raw_model_state_dict) and the
                                 number of averaged steps (ema_updates)

It contains only tensors on the CPU and plain values, so `torch.load(path)` with its default
arguments (`weights_only=True`) loads it anywhere. `Trainer.state_dict` builds the dict; `names.py`
has the names of the files.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from trainable.artifacts.metrics import ACCURACY
from trainable.atomic_files import write_once
from trainable.config import TrainConfig
from trainable.config.dotted import flatten
from trainable.config.sections.model import is_same_name
from trainable.errors import CheckpointError

MODEL = "model_state_dict"
OPTIMIZER = "optimizer_state_dict"
SCHEDULER = "scheduler_state_dict"
SCALER = "scaler_state_dict"
"""Only with mixed precision in float16."""
EPOCH = "epoch"
"""The last completed epoch, 1-based."""
BEST_ACC = "best_acc"
CONFIG = "config"
RESUME = "resume_state"
"""State for an exact resume: `format`, `seed`, `best_epoch`, `split`."""
MONITOR = "monitor"
BEST_VALUE = "best_value"
"""Keys in `resume_state`: the metric that decides which epoch is the best, and its best value so
far, null if there is none. Without them it is the accuracy."""
SPLIT = "split"
"""Key in `resume_state`: which images are held out, as `SplitRecord.to_dict` returns it."""
IMAGE = "image"
"""Key in `resume_state`: channels, height and width of the images that the model gets."""
STOPPING = "stopping"
"""Key in `resume_state`: the counts of `StopRules`, only where the training has such a rule."""
WEIGHTS = "weights"
"""Only where `model_state_dict` has averaged weights: `AVERAGED`."""
AVERAGED = "ema"
TRAINING = "training_state"
"""Only where `model_state_dict` has averaged weights: what the training itself continues from."""
RAW_MODEL = "raw_model_state_dict"
"""Key in `training_state`: the weights that are trained, not averaged."""
UPDATES = "ema_updates"
"""Key in `training_state`: number of steps that have been averaged."""

FORMAT = 1
AVERAGED_FORMAT = 2
"""Format of a file with averaged weights: earlier versions, which would train on them, refuse it.
"""
_UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors of `torch.load` for a file that is not a checkpoint, besides UnpicklingError."""

SHAPE_KEYS = ("name", "num_classes", "in_channels")
"""Keys of `model` that a checkpoint must share with a training that continues from it."""

REQUIRED = (MODEL, OPTIMIZER, SCHEDULER, EPOCH, BEST_ACC, CONFIG)
TYPES = {
    MODEL: dict,
    OPTIMIZER: dict,
    SCHEDULER: dict,
    SCALER: dict,
    EPOCH: int,
    BEST_ACC: float,
    CONFIG: dict,
    RESUME: dict,
    WEIGHTS: str,
    TRAINING: dict,
}


def to_cpu(value: Any) -> Any:
    """Returns a nested state with every tensor on the CPU and all other values unchanged."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def write_checkpoint(state: dict[str, Any], names: Iterable[Path]) -> None:
    """Serialises a state once and gives the file several names.

    Args:
        state: A dict with the keys above; its tensors may be on any device.
        names: Paths in the order in which they are replaced. The one that a resume reads comes
            last, so that a kill in between repeats an epoch instead of losing a file.

    Raises:
        OSError: Writing has failed, for example on a full disk; no name is replaced.
    """
    cpu_state = to_cpu(state)

    def save(file: BinaryIO) -> None:
        try:
            torch.save(cpu_state, file)
        except RuntimeError as error:
            # torch then fails on the end of the file as well and would hide why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise

    write_once(names, save)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint's tensors onto the CPU and checks its format.

    Raises:
        CheckpointError: The file is missing, truncated, foreign or unsafe. The text says what was
            expected and found, and which other checkpoints of the directory are good.
    """
    path = Path(path)
    state = _load(path)
    if isinstance(state, dict):
        return state
    good = [p.name for p in sorted(path.parent.glob("*.pt")) if p != path and is_complete(p)]
    text = f"{path}: {state}"
    if path.parent.is_dir():
        text += f"; good checkpoints beside it: {', '.join(good) if good else 'none'}"
    raise CheckpointError(text)


def read_monitored(state: Mapping[str, Any]) -> tuple[str, float | None]:
    """Returns the metric by which a checkpoint's best epoch is the best, and its best value."""
    extra = state.get(RESUME, {})
    value = extra.get(BEST_VALUE, state[BEST_ACC])
    return extra.get(MONITOR, ACCURACY), None if value is None else float(value)


def is_complete(path: Path) -> bool:
    """Returns whether a file is a whole, loadable checkpoint."""
    return isinstance(_load(path), dict)


def checkpoint_epoch(path: Path) -> int | None:
    """Returns the last completed epoch of a checkpoint file, or None if the file is not good."""
    state = _load(path)
    return int(state[EPOCH]) if isinstance(state, dict) else None


_RUNTIME_KEYS = (
    "checkpoint.",
    "progress.",
    "tensorboard.",
    "dataset.file",
    "dataset.root",
    "dataset.download",
    "dataset.num_workers",
)
"""Keys of a config, or prefixes of keys, that do not affect what is trained."""


def describe_changes(state: dict[str, Any], config: TrainConfig) -> str:
    """Names the settings that differ from those with which a checkpoint was trained.

    The optimizer's are read from its state: that has the values that were used.

    Returns:
        For example `optimizer.learning_rate 0.05 -> 0.9, training.epochs 2 -> 4`; empty if there
        are none.
    """
    (group, *_), base_lr = state[OPTIMIZER]["param_groups"], state[SCHEDULER].get("base_lr")
    used = flatten(state[CONFIG]) | {
        f"optimizer.{key}": list(value) if isinstance(value, tuple) else value
        for key, value in {**group, "learning_rate": base_lr}.items()
    }
    return ", ".join(
        f"{key} {used[key]} -> {value}"
        for key, value in flatten(config.to_dict()).items()
        if key in used and used[key] != value and not key.startswith(_RUNTIME_KEYS)
    )


def mismatch_message(state: dict[str, Any], config: TrainConfig, reason: str) -> str:
    """Explains why a good checkpoint cannot be loaded into the training of a config."""
    differences = shape_differences(state[CONFIG], config, "the checkpoint")
    if differences:
        return f"{'; '.join(differences)}: its weights do not fit"
    model, optimizer = (_read_config_name(state, section) for section in ("model", "optimizer"))
    return (
        f"the checkpoint is of {model} with {optimizer}, "
        f"which does not fit {config.model.name} with {config.optimizer.name}: {reason}"
    )


def shape_differences(saved: Mapping[str, Any], config: TrainConfig, name: str) -> list[str]:
    """Lists the keys of the model in which a checkpoint's config differs from another one.

    Args:
        saved: The checkpoint's config.
        config: The other config.
        name: The checkpoint's name.
    """
    model = saved.get("model")
    if not isinstance(model, Mapping):
        return []
    pairs = {key: (model.get(key), getattr(config.model, key)) for key in SHAPE_KEYS}
    return [
        f"model.{key} is {old} in {name} and {new} in the config"
        for key, (old, new) in pairs.items()
        if None not in (old, new) and not is_same_name(str(old), str(new))
    ]


def saved_epochs(state: dict[str, Any]) -> int | None:
    """Returns `training.epochs` of a checkpoint's config; a foreign config may not have it."""
    training = state[CONFIG].get("training")
    epochs = training.get("epochs") if isinstance(training, dict) else None
    return epochs if isinstance(epochs, int) else None


def _read_config_name(state: dict[str, Any], section: str) -> Any:
    """Returns the name in a section of a checkpoint's config; a foreign config may differ."""
    value = state[CONFIG].get(section)
    return value.get("name") if isinstance(value, dict) else value


def _load(path: Path) -> dict[str, Any] | str:
    """Returns the loaded state, or a sentence on what is wrong with the file."""
    if not path.exists():
        return "there is no such file"
    if not path.is_file():
        return "expected a .pt file, found a directory"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about a foreign pickle, see below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises to load without the check, which runs code from the file.
        code = re.search(r"GLOBAL (\S+)", str(error))
        content = f"code ({code[1]})" if code else "a foreign file"
        return f"expected tensors and plain values only, found {content}"
    except _UNREADABLE as error:
        first_line = str(error).partition("\n")[0]
        return (
            "expected a whole checkpoint, found a truncated or foreign file "
            f"({type(error).__name__}: {first_line})"
        )
    return _find_format_error(state) or state


def _find_format_error(state: Any) -> str | None:
    """Returns a sentence on why a loaded object does not have the format, or None if it has."""
    if not isinstance(state, dict):
        return f"expected a mapping of {', '.join(REQUIRED)}, found {type(state).__name__}"
    missing = [key for key in REQUIRED if key not in state]
    if missing:
        return f"expected the keys {', '.join(REQUIRED)}, found none named {', '.join(missing)}"
    for key, kind in TYPES.items():
        if key in state and not isinstance(state[key], kind):
            return f"expected {key} of type {kind.__name__}, found {type(state[key]).__name__}"
    if state[EPOCH] < 0:
        return f"expected {EPOCH} to be 0 or more, found {state[EPOCH]}"
    version = state.get(RESUME, {}).get("format", FORMAT)
    if not isinstance(version, int) or version > AVERAGED_FORMAT:
        return f"expected checkpoint format {AVERAGED_FORMAT} or older, found {version}"
    if version == AVERAGED_FORMAT and not _is_training_state(state.get(TRAINING)):
        return f"expected {TRAINING} with {RAW_MODEL} and {UPDATES}, which averaged weights need"
    return None


def _is_training_state(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get(RAW_MODEL), dict)
        and isinstance(value.get(UPDATES), int)
    )


def raw_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the weights that the training of a checkpoint continues with."""
    weights: dict[str, Any] = state.get(TRAINING, {}).get(RAW_MODEL, state[MODEL])
    return weights
