"""Reads `checkpoint.resume` and compares it with the config that it is to continue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainable.artifacts.checkpoint import (
    CONFIG,
    EPOCH,
    MODEL,
    STOPPING,
    read_checkpoint,
    saved_epochs,
)
from trainable.artifacts.checkpoint import RESUME as RESUME_STATE
from trainable.config import ArraysDataset, FileDataset, TableDataset, TrainConfig, with_shape
from trainable.config.own_code import is_own_code
from trainable.config.sections.model import is_same_name
from trainable.data.class_names import CLASSES_KEY, refuse_moves, with_saved_classes
from trainable.data.shapes import dataset_classes
from trainable.data.splits.divide import divide
from trainable.errors import (
    CheckpointError,
    DataError,
    Problem,
    StorageError,
    TuneSweepsError,
)
from trainable.models import get_model_on_meta
from trainable.models.pretrained import with_input_size
from trainable.preflight.shapes import DataShape
from trainable.storage.experiment import local_file
from trainable.training.saved_split import saved_split
from trainable.training.stopping import StopRules, explain_ended

RESUME = "checkpoint.resume"
MAX_LISTED_KEYS = 3


def check_resume(config: TrainConfig, data: DataShape) -> Iterator[Problem]:
    """Yields why a training cannot continue from the checkpoint that its config names.

    Args:
        config: The config; its `checkpoint.resume` is a path or an address in object storage.
        data: The shape of its data.
    """
    location = config.checkpoint.resume
    assert location is not None, "the caller has looked"
    try:
        with local_file(location) as path:
            state = read_checkpoint(path)
    except (CheckpointError, StorageError) as error:
        yield Problem(RESUME, str(error))
        return
    config = with_shape(config, data.num_classes, data.image[0])
    config = with_input_size(config, data.image)
    rule = _compare(config, state)
    if rule is not None:
        yield Problem(RESUME, f"{location} {rule}")
    elif state[EPOCH] >= config.training.epochs:
        rule = (
            f"must be above the {state[EPOCH]} epochs that {location} has completed, found "
            f"{config.training.epochs}: nothing would be left to train"
        )
        yield Problem("training.epochs", rule)
    else:
        yield from _check_stopping(config, state, location)
    yield from _compare_images(config, state)
    yield from _compare_classes(config, state[CONFIG])


def _check_stopping(
    config: TrainConfig, state: dict[str, Any], location: str
) -> Iterator[Problem]:
    """Yields why the training of a checkpoint has ended before its last epoch."""
    rules = StopRules(config)
    stopping = state.get(RESUME_STATE, {}).get(STOPPING)
    rules.load_state_dict(stopping, epochs=saved_epochs(state))
    if rules.stop is not None:
        yield Problem(f"training.{rules.stop.by}", f"{location} {explain_ended(rules.stop)}")


def _compare_images(config: TrainConfig, state: dict[str, Any]) -> Iterator[Problem]:
    """Yields why the images of a folder do not fit the checkpoint's split and class names."""
    if isinstance(config.dataset, FileDataset):
        try:
            divide(config.dataset, saved_split(state, config.dataset))
        except DataError as error:
            key = "dataset.file" if isinstance(config.dataset, TableDataset) else "dataset.root"
            yield Problem(key, str(error))


def _compare_classes(config: TrainConfig, saved: dict[str, Any]) -> Iterator[Problem]:
    """Yields why the classes of a config, or of its arrays, are not those of the checkpoint."""
    moves = refuse_moves(saved, config.dataset.classes or ())
    if moves is not None:
        yield Problem(CLASSES_KEY, moves)
    elif isinstance(config.dataset, ArraysDataset):
        try:
            dataset_classes(with_saved_classes(config, saved).dataset)
        except DataError as error:
            yield Problem("dataset.file", str(error))


def _compare(config: TrainConfig, state: dict[str, Any]) -> str | None:
    """Returns what differs between a config and the training of a checkpoint."""
    saved = state[CONFIG]
    for key in ("model.name", "optimizer.name", "scheduler.name"):
        section, name = key.split(".")
        old, new = _read(saved, section, name), getattr(getattr(config, section), name)
        if old is not None and not is_same_name(old, new):
            return f"has {key} {old}, the config {new}; they must be the same"
    return _compare_weights(config, state[MODEL], saved)


def _compare_weights(
    config: TrainConfig, weights: dict[str, Any], saved: dict[str, Any]
) -> str | None:
    """Returns which weights differ in name or shape; built-in models only, whose code is ours."""
    if is_own_code(config.model.name):
        return None
    for name in ("num_classes", "in_channels"):
        old, new = _read(saved, "model", name), getattr(config.model, name)
        if old not in (None, new):
            return f"has model.{name} {old}, the config and its data {new}"
    try:
        own = get_model_on_meta(config).state_dict()
    except TuneSweepsError:
        return None  # reported where the model is checked
    shapes = {name: list(tensor.shape) for name, tensor in own.items()}
    saved_shapes = {name: list(tensor.shape) for name, tensor in weights.items()}
    names = [
        name for name in {**shapes, **saved_shapes} if shapes.get(name) != saved_shapes.get(name)
    ]
    if not names:
        return None
    listed = ", ".join(
        f"{name} {saved_shapes.get(name, 'absent')}, here {shapes.get(name, 'absent')}"
        for name in names[:MAX_LISTED_KEYS]
    )
    return f"is of another {config.model.name}: {listed}"


def _read(config: dict[str, Any], section: str, name: str) -> Any:
    values = config.get(section)
    return values.get(name) if isinstance(values, dict) else None
