"""Weights of a file or a library, fitted to a model with its own classifier and channels."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import ConfigError, Problem
from trainable.models.heads import head_modules, head_parameters

PRETRAINED = "model.pretrained"

WRAPPERS = ("model_state_dict", "state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training programs store the weights, the better ones first."""

PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
"""Beginnings of names that `torch.compile` and data-parallel training add."""

MAX_LISTED = 3

SMALL_STD = 0.01
"""Standard deviation of a new classifier's weights: the first loss is that of equal chances."""


def read_file(path: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a file `.pt`, `.pth` or `.safetensors`.

    Returns:
        (the weights by name, the config of a checkpoint of this program or an empty mapping).

    Raises:
        ConfigError: The file is missing or has no weights.
    """
    if not Path(path).is_file():
        raise refuse(f"there is no file {path}")
    try:
        content = _load(path)
    except (pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        first_line = str(error).partition("\n")[0]
        raise refuse(f"{path} is no file of weights: {first_line}") from error
    config = content.get("config") if isinstance(content, Mapping) else None
    state = content
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state = content[key]
            break
    if not isinstance(state, Mapping) or not state:
        raise refuse(f"{path} has no weights by name")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise refuse(f"{path} must have tensors by name, or under one of {', '.join(WRAPPERS)}")
    return {_strip(str(name)): value for name, value in state.items()}, (
        dict(config) if isinstance(config, Mapping) else {}
    )


def _load(path: str) -> Any:
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    return torch.load(path, map_location="cpu", weights_only=True)


def _strip(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Adapts a convolution's weights to another number of channels, as timm does.

    Args:
        weight: `[out, channels, kernel height, kernel width]`.
        in_channels: The new number of channels. For one the weights are summed, for others they
            are repeated and scaled.
    """
    channels = weight.shape[1]
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = weight.repeat(1, -(-in_channels // channels), 1, 1)[:, :in_channels]
    return repeated * (channels / in_channels)


def fit_weights(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns those weights that a model takes: all, or all but its classifier's.

    Args:
        model: A model on any device, also the meta device.
        state: Weights by the names of the model's.

    Raises:
        ConfigError: They are the weights of another model.
    """
    own = model.state_dict()
    heads = tuple(f"{name}." for name in head_modules(model))
    fitted = {name: _fit(tensor, own.get(name)) for name, tensor in state.items()}
    head_names = [name for name in own if name.startswith(heads)]
    if any(name not in fitted or fitted[name].shape != own[name].shape for name in head_names):
        fitted = {name: tensor for name, tensor in fitted.items() if not name.startswith(heads)}
    else:
        heads = ()
    missing = [
        name
        for name in own.keys() - fitted.keys()
        if not (heads and name.startswith(heads)) and not name.endswith("num_batches_tracked")
    ]
    foreign = [*(fitted.keys() - own.keys())]
    wrong = [
        f"{name} {list(fitted[name].shape)} instead of {list(own[name].shape)}"
        for name in own.keys() & fitted.keys()
        if fitted[name].shape != own[name].shape
    ]
    rules = [
        f"{verb} {_list(names)}"
        for verb, names in (("lacks", missing), ("has foreign", foreign), ("has", wrong))
        if names
    ]
    if rules:
        raise refuse(f"is of another model than {type(model).__name__}: it {'; '.join(rules)}")
    return fitted


def _fit(tensor: Tensor, own: Tensor | None) -> Tensor:
    """Adapts the weights of a convolution to the model's number of image channels."""
    if own is None or tensor.dim() != 4 or own.dim() != 4 or tensor.shape == own.shape:
        return tensor
    same = tensor.shape[0] == own.shape[0] and tensor.shape[2:] == own.shape[2:]
    return adapt_channels(tensor, own.shape[1]) if same and tensor.shape[1] == 3 else tensor


def load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Loads weights into a model.

    Returns:
        Whether the classifier is new.

    Raises:
        ConfigError: They are the weights of another model.
    """
    fitted = fit_weights(model, state)
    model.load_state_dict(fitted, strict=False)
    return not head_parameters(model) <= fitted.keys()


def start_head(model: nn.Module, kind: str) -> None:
    """Gives a new classifier its first weights.

    Args:
        model: The model.
        kind: The config's `model.head_init`.
    """
    if kind == "library":
        return
    modules = dict(model.named_modules())
    for head in head_modules(model):
        layers = [m for m in modules[head].modules() if _has_matrix(m)]
        for name, parameter in layers[-1].named_parameters(recurse=False):
            if name == "weight" and kind == "small":
                nn.init.normal_(parameter, std=SMALL_STD)
            elif name in ("weight", "bias"):
                nn.init.zeros_(parameter)


def _has_matrix(module: nn.Module) -> bool:
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return weight is not None and weight.dim() > 1


def refuse(rule: str) -> ConfigError:
    """Returns the error for a `model.pretrained` that breaks a rule."""
    return ConfigError("config", [Problem(PRETRAINED, rule)])


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(sorted(names)[:MAX_LISTED]) + more
