"""The models by name, and the user's own.

A model is built from `(num_classes, in_channels)` by a callable that is named here as
`module:callable`, the form in which a config names a model of the user's own; both take the same
way. Adding a model is one line in `MODELS` and one in `trainable.config.MODEL_NAMES`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from torch import nn

from trainable.config import TrainConfig
from trainable.config.names import suggestion
from trainable.data.shapes import dataset_channels, dataset_classes
from trainable.errors import TuneSweepsError

# Text instead of imported callables, because a family may need a slow or optional library:
# torchvision.models takes about as long to import as torch itself (1.1 s and 1.2 s, measured).
# Most of that is torch._dynamo, which every optimizer needs too, but who only loads a model does
# not.
MODELS = {
    "cnv": "trainable.models.cnv:CNV",
    "mobilenetv1": "trainable.models.mobilenet:MobileNetV1",
    "resnet18": "trainable.models.resnet:resnet18",
    "resnet34": "trainable.models.resnet:resnet34",
    "resnet50": "trainable.models.resnet:resnet50",
    "resnet101": "trainable.models.resnet:resnet101",
    "resnet152": "trainable.models.resnet:resnet152",
    "resnet20": "trainable.models.resnet_cifar:resnet20",
    "resnet32": "trainable.models.resnet_cifar:resnet32",
    "resnet44": "trainable.models.resnet_cifar:resnet44",
    "resnet56": "trainable.models.resnet_cifar:resnet56",
    "resnet110": "trainable.models.resnet_cifar:resnet110",
    "vgg11": "trainable.models.vgg:vgg11",
    "vgg13": "trainable.models.vgg:vgg13",
    "vgg16": "trainable.models.vgg:vgg16",
    "vgg19": "trainable.models.vgg:vgg19",
}
"""Name of each built-in model -> what builds it."""


def list_models() -> list[str]:
    """The names of the built-in models, sorted."""
    return sorted(MODELS)


def get_model(config: TrainConfig, *, allow_custom: bool = False) -> nn.Module:
    """Builds the model of a config, on the CPU, with new weights from torch's global generator.

    Args:
        config: Its `model` section names the architecture. `num_classes` and `in_channels` are the
            data set's where that section leaves them null.
        allow_custom: Import and call a model of the user's own (`module:callable`). Off by
            default, because a config file alone must not be able to run code.

    Returns:
        A module from images `[B, in_channels, H, W]` to logits `[B, num_classes]`.

    Raises:
        TuneSweepsError: The user's own model is not allowed, cannot be imported or built, or is no
            module.
        DataError: The number of classes is to come from an image folder that is missing.
    """
    name = config.model.name
    num_classes = config.model.num_classes
    if num_classes is None:
        num_classes = dataset_classes(config.dataset)
    in_channels = config.model.in_channels
    if in_channels is None:
        in_channels = dataset_channels(config.dataset)
    if name not in MODELS and not allow_custom:
        raise TuneSweepsError(
            f'model.name "{name}" is code of your own, which runs only on request: add '
            "--allow-custom-model on the command line, or allow_custom=True in Python"
        )
    return _build(name, _resolve(MODELS.get(name, name)), num_classes, in_channels)


def _build(
    name: str, builder: Callable[..., Any], num_classes: int, in_channels: int
) -> nn.Module:
    """Calls the builder and checks what a user's own may get wrong."""
    try:
        inspect.signature(builder).bind(num_classes=num_classes, in_channels=in_channels)
    except (TypeError, ValueError) as error:
        # Asked beforehand, so that a TypeError out of the model's own code keeps its traceback.
        raise TuneSweepsError(
            f'model.name "{name}" must take the keywords num_classes and in_channels: {error}'
        ) from error
    model = builder(num_classes=num_classes, in_channels=in_channels)
    if not isinstance(model, nn.Module):
        raise TuneSweepsError(
            f'model.name "{name}" must return a torch.nn.Module, found {type(model).__name__}'
        )
    return model


def _resolve(target: str) -> Callable[..., Any]:
    """Imports the callable that `module:callable` names; the config has checked that form."""
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TuneSweepsError(
            f'model.name "{target}": cannot import {module_name}: {error} (it must be installed, '
            "or its directory be on PYTHONPATH)"
        ) from error
    try:
        builder: Callable[..., Any] | None = attrgetter(attribute)(module)
    except AttributeError:
        builder = None
    if not callable(builder):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise TuneSweepsError(
            f'model.name "{target}": {module_name} has no callable "{attribute}"'
            f"{suggestion(attribute, known)}"
        )
    return builder
