"""Builds models by name: built-in ones, those of timm and torchvision, and the user's own.

A callable builds a model from `(num_classes, in_channels)`. `MODELS` names the callables of the
built-in models as `module:callable`, the same form in which a config names a custom model. To add
a model, add one line to `MODELS` and one to `trainable.config.MODEL_NAMES`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from trainable.config import ModelConfig, TrainConfig
from trainable.config.names import suggestion
from trainable.config.own_code import import_own, not_allowed
from trainable.data.shapes import dataset_channels, dataset_classes
from trainable.errors import ConfigError, Problem, TuneSweepsError
from trainable.models.pretrained import library_of, load_pretrained

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


def get_model(
    config: TrainConfig, *, allow_custom: bool = False, pretrained: bool = False
) -> nn.Module:
    """Builds the model of a config, on the CPU, with new weights from torch's global generator.

    Args:
        config: The config, whose `model` section names the architecture. If `num_classes` or
            `in_channels` is null there, the data set decides.
        allow_custom: Whether to import and call a custom model (`module:callable`). Off by
            default, because a config file alone must not be able to run code.
        pretrained: Whether to load the weights that `model.pretrained` names. Off by default,
            because those of a checkpoint usually follow.

    Returns:
        A module from images `[B, in_channels, H, W]` to logits `[B, num_classes]`.

    Raises:
        TuneSweepsError: The library has no such model. A custom model is not allowed, cannot be
            imported or built, or is not a module. The weights are missing or do not fit.
        DataError: The image folder that decides the number of classes is missing.
    """
    section = config.model
    num_classes = section.num_classes
    if num_classes is None:
        num_classes = dataset_classes(config.dataset)
    in_channels = section.in_channels
    if in_channels is None:
        in_channels = dataset_channels(config.dataset)
    library = library_of(section.name)
    if library is not None:
        model = _build_of_library(library.build, section, num_classes, in_channels)
    elif section.name in MODELS or allow_custom:
        model = _build(section, num_classes, in_channels)
    else:
        raise TuneSweepsError(f"model.name {not_allowed(section.name)}")
    if pretrained and section.pretrained:
        load_pretrained(model, section, in_channels)
    return model


def get_model_on_meta(config: TrainConfig, *, allow_custom: bool = False) -> nn.Module:
    """Builds the model of a config on the meta device: names and shapes without values.

    Args:
        config: See `get_model`.
        allow_custom: See `get_model`.

    Raises:
        TuneSweepsError: See `get_model`.
    """
    try:
        with torch.device("meta"):
            return get_model(config, allow_custom=allow_custom)
    except NotImplementedError:  # it computes with the values of its weights
        with torch.random.fork_rng(devices=[]):
            return get_model(config, allow_custom=allow_custom).to("meta")


def _build_of_library(
    build: Callable[..., nn.Module], section: ModelConfig, num_classes: int, in_channels: int
) -> nn.Module:
    """Builds a model of a library, which says by a TypeError what it does not take."""
    try:
        return build(section.name, num_classes, in_channels, section.args)
    except TypeError as error:
        match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if match is None or match[1] not in section.args:
            raise
        plain = build(section.name, num_classes, in_channels, {})
        names = inspect.signature(type(plain).__init__).parameters
        raise _refuse_argument(section, match[1], names) from error


def _refuse_argument(section: ModelConfig, name: str, accepted: Iterable[str]) -> ConfigError:
    names = [other for other in accepted if other not in ("self", "args", "kwargs")]
    rule = f'"{section.name}" takes no such argument{suggestion(name, names)}'
    return ConfigError("config", [Problem(f"model.args.{name}", rule)])


def _build(section: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    """Calls the builder and checks the signature and result of a custom one."""
    name = section.name
    builder = import_own("model.name", MODELS.get(name, name))
    keywords = {"num_classes": num_classes, "in_channels": in_channels}
    _check_signature(section, builder, keywords)
    try:
        model = builder(**keywords, **section.args)
    except TypeError as error:
        # A builder with `**kwargs` passes them on to one that may not take them.
        refused = [n for n in (*keywords, *section.args) if _refuses(error, n)]
        if not refused:
            raise
        if refused[0] in section.args:
            raise _refuse_argument(section, refused[0], ()) from error
        raise TuneSweepsError(_explain_signature(name, str(error))) from error
    if not isinstance(model, nn.Module):
        raise TuneSweepsError(
            f'model.name "{name}" must return a torch.nn.Module, found {type(model).__name__}'
        )
    return model


def _refuses(error: TypeError, name: str) -> bool:
    return f"unexpected keyword argument '{name}'" in str(error)


def _check_signature(
    section: ModelConfig, builder: Callable[..., Any], keywords: dict[str, int]
) -> None:
    """Checks that a builder takes its keywords and the config's arguments."""
    try:
        signature = inspect.signature(builder)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            for name in section.args.keys() - signature.parameters.keys():
                own = signature.parameters.keys() - keywords.keys()
                raise _refuse_argument(section, name, own)
        signature.bind(**keywords, **section.args)
    except (TypeError, ValueError) as error:
        raise TuneSweepsError(_explain_signature(section.name, str(error))) from error


def _explain_signature(name: str, reason: str) -> str:
    module, _, attribute = name.partition(":")
    own = f"def model(num_classes, in_channels): return {module}.{attribute}(...)"
    return (
        f'model.name "{name}" must take the keywords num_classes and in_channels: {reason}; name '
        f"a function of your own that takes both, e.g. {own}"
    )
