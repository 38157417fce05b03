"""Models of torchvision, which this module imports only where a config names one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainable.config.library_names import split_name, unknown_name
from trainable.config.preprocessing import Preprocessing
from trainable.errors import ConfigError, Problem

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
"""Models that return several logits in training unless they are told not to."""

AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
"""Beginnings of the names of their weights."""


def read_weights(name: str) -> Any:
    """Returns torchvision's entry for the weights of a model; without a tag its default ones.

    Raises:
        ConfigError: torchvision has no such model or tag.
    """
    from torchvision import models

    architecture, tag = split_name(name)
    names = models.list_models(models)
    if architecture not in names:
        raise unknown_name(name, "torchvision has no model", names)
    if architecture.startswith("mnasnet"):
        # It loads no state dict without torch's private version number, which no checkpoint has.
        rule = f'"{name}" cannot be loaded from a checkpoint; timm/mnasnet_100 can'
        raise ConfigError("config", [Problem("model.name", rule)])
    weights = models.get_model_weights(architecture)
    if not tag:
        return weights.DEFAULT
    if tag not in weights.__members__:
        tags = [f"{architecture}.{member}" for member in weights.__members__]
        raise unknown_name(name, "torchvision has no weights", tags)
    return weights[tag]


def resolve_name(name: str) -> str:
    """Returns a name with its tag: without one it has torchvision's default weights."""
    return f"torchvision/{split_name(name)[0]}.{read_weights(name).name}"


def read_preprocessing(name: str) -> Preprocessing:
    """Returns the preprocessing of a model's weights."""
    transform = read_weights(name).transforms()
    (crop,), (resized,) = transform.crop_size, transform.resize_size
    return Preprocessing(
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
        crop_share=crop / resized,
        image_size=crop,
    )


def build(name: str, num_classes: int, in_channels: int, args: dict[str, Any]) -> nn.Module:
    """Builds a model with new weights."""
    from torchvision import models

    read_weights(name)
    architecture, _ = split_name(name)
    arguments = _complete(architecture, in_channels, args)
    model: nn.Module = models.get_model(
        architecture, weights=None, num_classes=num_classes, **arguments
    )
    _set_channels(model, in_channels)
    return model


def read_state(name: str, args: dict[str, Any]) -> dict[str, Tensor]:
    """Returns torchvision's weights of a model, which are on this machine already.

    Those of auxiliary classifiers are left out, and the position embeddings of a vision
    transformer are resized to `image_size`.
    """
    from torchvision import models
    from torchvision.models.vision_transformer import interpolate_embeddings

    architecture, _ = split_name(name)
    own = {key: value for key, value in args.items() if key not in ("aux_logits", "init_weights")}
    side = own.pop("image_size", None) if architecture.startswith("vit_") else None
    model = models.get_model(architecture, weights=read_weights(name), progress=False, **own)
    state: dict[str, Tensor] = model.state_dict()
    if side is not None:
        state = interpolate_embeddings(side, model.patch_size, state)
    return {key: value for key, value in state.items() if not key.startswith(AUXILIARY_HEADS)}


def find_cached(name: str) -> Path | None:
    """Returns the file of a model's weights on this machine, or None; uses no network."""
    path = _get_path(name)
    return path if path.is_file() else None


def download(name: str) -> Path:
    """Downloads the weights of a model into torch's cache and returns the file."""
    import torch

    path = _get_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = path.stem.rpartition("-")[2]
    torch.hub.download_url_to_file(
        read_weights(name).url, str(path), hash_prefix=checksum, progress=False
    )
    return path


def address(name: str) -> str:
    """Returns the address that a model's weights are downloaded from."""
    return str(read_weights(name).url)


def place(name: str) -> str:
    """Returns where a user can put the weights of a model."""
    path = _get_path(name)
    return f"the file {path.name} in {path.parent} (TORCH_HOME)"


def cache_directory(name: str) -> Path:
    """Returns the directory that the library keeps the weights of a model in."""
    return _get_path(name).parent


def _get_path(name: str) -> Path:
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", Path(read_weights(name).url).name)


def _complete(architecture: str, in_channels: int, args: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments with those of GoogLeNet and Inception, for logits alone."""
    if architecture not in WITH_AUXILIARY_HEADS:
        return args
    if args.get("aux_logits"):
        rule = f"must not have aux_logits: true: a training uses the logits of {architecture} only"
        raise ConfigError("config", [Problem("model.args", rule)])
    # The library's weights are for images that the model itself normalises once more.
    own = {"transform_input": in_channels == 3, "init_weights": True}
    return {**own, **args, "aux_logits": False}


def _set_channels(model: nn.Module, in_channels: int) -> None:
    """Gives the first convolution of a model another number of channels than three."""
    from trainable.models.weights import adapt_channels

    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    if first.in_channels != in_channels:
        first.weight = nn.Parameter(adapt_channels(first.weight.detach(), in_channels))
        first.in_channels = in_channels
