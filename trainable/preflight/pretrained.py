"""Checks a model of a library, and the weights that `model.pretrained` names, before a training.

Nothing is downloaded: of weights that are not on this machine, only their host is reached.
"""

from __future__ import annotations

from trainable.config import TrainConfig, with_shape
from trainable.config.sections.model import is_library_model
from trainable.errors import ConfigError, Problem, TuneSweepsError
from trainable.models import get_model_on_meta
from trainable.models.pretrained import (
    check_connection,
    read_weights,
    resolve,
    with_input_size,
)
from trainable.preflight.model import check_model
from trainable.preflight.shapes import DataShape


def resolve_or_refuse(config: TrainConfig) -> tuple[TrainConfig, list[Problem]]:
    """Resolves a config as its training does; returns why that cannot be done, if so."""
    try:
        return resolve(config), []
    except ConfigError as error:
        return config, list(error.problems)


def check_pretrained(config: TrainConfig, data: DataShape) -> list[Problem]:
    """Returns why a model of a library or the weights of a config cannot be used.

    Args:
        config: A resolved config. With `checkpoint.resume` its weights are not needed.
        data: The shape of its data.
    """
    model = config.model
    problems = check_model(config, data) if is_library_model(model.name) else []
    if problems or not model.pretrained or config.checkpoint.resume is not None:
        return problems
    try:
        if model.pretrained is True:
            check_connection(model)
        else:
            config = with_shape(config, data.num_classes, data.image[0])
            shapes = get_model_on_meta(with_input_size(config, data.image), allow_custom=True)
            read_weights(shapes, config.model, data.image[0])
    except ConfigError as error:
        return list(error.problems)
    except TuneSweepsError:
        return []  # reported where the model is checked
    return []
