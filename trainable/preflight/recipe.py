"""Checks the parts of a recipe that depend on torch, timm and the structure of the model."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from trainable.augment.streams import same_random_numbers
from trainable.config import MODEL_NAMES, TrainConfig, with_shape
from trainable.config.sections.model import FrozenStages
from trainable.errors import ConfigError, Problem, TuneSweepsError
from trainable.models import get_model
from trainable.models.heads import head_parameters
from trainable.optim.frozen import frozen_parameters
from trainable.optim.parameter_groups import needs_groups
from trainable.optim.registry import check_optimizer
from trainable.preflight.shapes import DataShape


def check_recipe(config: TrainConfig, data: DataShape) -> Iterator[Problem]:
    """Yields the problems of the optimizer, and of what is frozen in a model of this structure.

    Args:
        config: The config; code of the user's as its model is run.
        data: The shape of its data.
    """
    yield from check_optimizer(config.optimizer)
    key = _key_of_structure(config)
    model = None if key is None else _build(with_shape(config, data.num_classes, data.image[0]))
    if key is None or model is None:
        return
    try:
        head_parameters(model)
        frozen_parameters(model, config.model)
    except ConfigError as error:
        yield from error.problems
    except TuneSweepsError as error:
        yield Problem(key, f"needs the classifier of the model: {error}")


def _key_of_structure(config: TrainConfig) -> str | None:
    """Returns a key that can break the training of a model of another structure."""
    if isinstance(config.model.freeze, FrozenStages):
        return "model.freeze.stages"
    if config.model.name in MODEL_NAMES:
        return None
    if config.model.freeze != "none":
        return "model.freeze"
    if needs_groups(config.optimizer):
        return "optimizer"
    clip = config.training.clip_grad
    return "training.clip_grad" if clip is not None and clip.agc is not None else None


def _build(config: TrainConfig) -> nn.Module | None:
    """Returns the model without its pretrained weights; None if it cannot be built."""
    with same_random_numbers():
        try:
            return get_model(config, allow_custom=True)
        except (Exception, SystemExit):  # noqa: BLE001 - reported where models are checked
            return None
