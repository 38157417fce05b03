"""Builds models by name: the built-in ones, and custom ones from the user's code.

A callable builds a model from `(num_classes, in_channels)`. `MODELS` names the callables of the
built-in models as `module:callable`, the same form in which a config names a custom model. To add
a model, add one line to `MODELS` and one to `trainable.config.MODEL_NAMES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from trainable.config import TrainConfig
from trainable.config.own_code import import_own, not_allowed
from trainable.data.shapes import dataset_channels, dataset_classes
from trainable.errors import TuneSweepsError

# Names instead of imported callables, because a module may need a slow or optional library:
# torchvision.models takes about as long to import as torch itself (1.1 s and 1.2 s, measured).
# Most of that is torch._dynamo, which training needs as well, but loading a model does not.
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
"""Name of each built-in model -> the callable that builds it."""


def list_models() -> list[str]:
    """Returns the names of the built-in models, sorted."""
    return sorted(MODELS)


def get_model(config: TrainConfig, *, allow_custom: bool = False) -> nn.Module:
    """Builds the model of a config, on the CPU, with new weights from torch's global generator.

    Args:
        config: The config, whose `model` section names the architecture. If `num_classes` or
            `in_channels` is null there, the data set decides.
        allow_custom: Whether to import and call a custom model (`module:callable`). Off by
            default, because a config file alone must not be able to run code.

    Returns:
        A module from images `[B, in_channels, H, W]` to logits `[B, num_classes]`.

    Raises:
        TuneSweepsError: A custom model is not allowed, cannot be imported or built, or is not a
            module.
        DataError: The image folder that decides the number of classes is missing.
    """
    name = config.model.name
    num_classes = config.model.num_classes
    if num_classes is None:
        num_classes = dataset_classes(config.dataset)
    in_channels = config.model.in_channels
    if in_channels is None:
        in_channels = dataset_channels(config.dataset)
    if name not in MODELS and not allow_custom:
        raise TuneSweepsError(f"model.name {not_allowed(name)}")
    return _build(name, import_own("model.name", MODELS.get(name, name)), num_classes, in_channels)


def _build(
    name: str, builder: Callable[..., Any], num_classes: int, in_channels: int
) -> nn.Module:
    """Calls the builder and checks the signature and result of a custom one."""
    keywords = {"num_classes": num_classes, "in_channels": in_channels}
    try:
        inspect.signature(builder).bind(**keywords)
    except (TypeError, ValueError) as error:
        raise TuneSweepsError(_explain_signature(name, str(error))) from error
    try:
        model = builder(**keywords)
    except TypeError as error:
        # A builder with `**kwargs` passes them on to one that may not take them.
        if any(f"unexpected keyword argument '{keyword}'" in str(error) for keyword in keywords):
            raise TuneSweepsError(_explain_signature(name, str(error))) from error
        raise
    if not isinstance(model, nn.Module):
        raise TuneSweepsError(
            f'model.name "{name}" must return a torch.nn.Module, found {type(model).__name__}'
        )
    return model


def _explain_signature(name: str, reason: str) -> str:
    module, _, attribute = name.partition(":")
    own = f"def model(num_classes, in_channels): return {module}.{attribute}(...)"
    return (
        f'model.name "{name}" must take the keywords num_classes and in_channels: {reason}; name '
        f"a function of your own that takes both, e.g. {own}"
    )
