"""`model.pretrained`: which weights a config names, where they are, and how a model gets them.

A config is resolved before its training: the name of a model of a library gets its tag, and the
keys of the preprocessing that are null get the values of the weights. A checkpoint's config has
both, so that neither the weights nor a network is needed to load it.
"""

from __future__ import annotations

import platform
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from torch import nn

from trainable.artifacts.checkpoint import CONFIG
from trainable.config import (
    DatasetConfig,
    FileDataset,
    ModelConfig,
    OwnDataset,
    TrainConfig,
    with_shape,
)
from trainable.config.library_names import split_name
from trainable.config.preprocessing import (
    Preprocessing,
    complete_preprocessing,
    null_keys,
    with_preprocessing,
)
from trainable.config.schema import FrozenArguments
from trainable.config.sections.model import TIMM, is_library_model, is_same_name
from trainable.data.shapes import dataset_channels
from trainable.data.source import ImageSource
from trainable.errors import ConfigError, DataError
from trainable.models import timm_models, torchvision_models
from trainable.models.weights import (
    fit_weights,
    load_weights,
    read_file,
    refuse,
    start_head,
)

CONNECT_TIMEOUT_S = 5
"""Longest wait for the host of the weights. The hub's own client tries for a minute."""

LOCK_NAME = ".tune-sweeps-download.lock"
"""A lock file in the library's cache; the process that downloads holds it."""


def library_of(name: str) -> ModuleType | None:
    """Returns the module for a library's models; None for a built-in or own model."""
    if not is_library_model(name):
        return None
    return timm_models if name.startswith(TIMM) else torchvision_models


def resolve(config: TrainConfig) -> TrainConfig:
    """Fills in what a config leaves to the weights of its model, and the default preprocessing.

    Raises:
        ConfigError: The weights are not known.
    """
    model, dataset = config.model, config.dataset
    if not model.pretrained:
        dataset = with_preprocessing(dataset, _count_channels(dataset))
        return config.model_copy(update={"dataset": dataset})
    library = library_of(model.name)
    if library is not None and model.pretrained is True and not split_name(model.name)[1]:
        model = model.model_copy(update={"name": library.resolve_name(model.name)})
    if null_keys(dataset):
        weights = _find_preprocessing(model)
        dataset = with_preprocessing(dataset, _count_channels(dataset), weights)
    return config.model_copy(update={"model": model, "dataset": dataset})


def _count_channels(dataset: DatasetConfig) -> int:
    """Returns the channels of images, or those of most weights as long as they are not known.

    A data set of the user's own changes the number of values when it is loaded.
    """
    if not isinstance(dataset, OwnDataset):
        return dataset_channels(dataset)
    try:
        return dataset_channels(dataset)
    except DataError:
        return len(Preprocessing().mean)


def with_saved_preprocessing(config: TrainConfig, state: dict[str, Any] | None) -> TrainConfig:
    """Returns a config with the tag and the preprocessing of the training that it continues.

    The preprocessing includes what `dataset.max_value: auto` was. Neither the weights nor a later
    version of the library can then change them, nor other images the white.

    Args:
        config: Complete settings.
        state: The checkpoint that the training continues from, or None.
    """
    saved = None if state is None else state[CONFIG]
    config = _with_saved_max_value(config, saved)
    if not config.model.pretrained or not saved or "model" not in saved:
        return config
    model, dataset, name = config.model, config.dataset, saved["model"].get("name")
    if isinstance(name, str) and is_same_name(model.name, name):
        model = model.model_copy(update={"name": max(model.name, name, key=len)})
    values = saved.get("dataset", {})
    if values.get("name") == dataset.name:
        used = {key: values.get(key) for key in null_keys(dataset)}
        update = {key: tuple(v) if isinstance(v, list) else v for key, v in used.items()}
        dataset = dataset.model_copy(update=update)
    return config.model_copy(update={"model": model, "dataset": dataset})


def _with_saved_max_value(config: TrainConfig, saved: dict[str, Any] | None) -> TrainConfig:
    """Returns a config with the number that `dataset.max_value: auto` was at the beginning."""
    dataset = config.dataset
    value = (saved or {}).get("dataset", {}).get("max_value")
    if not isinstance(dataset, FileDataset) or dataset.max_value != "auto" or value is None:
        return config
    dataset = dataset.model_copy(update={"max_value": value})
    return config.model_copy(update={"dataset": dataset})


def _find_preprocessing(model: ModelConfig) -> Preprocessing | None:
    """Returns what weights were trained with: as their checkpoint says, else as the library."""
    library = library_of(model.name)
    own = library.read_preprocessing(model.name) if library is not None else None
    if not isinstance(model.pretrained, str):
        return own
    has_config = not model.pretrained.endswith(".safetensors")  # such a file has weights alone
    dataset = read_file(model.pretrained)[1].get("dataset") if has_config else None
    values = dataset if isinstance(dataset, dict) else {}
    default = own or Preprocessing()
    saved = {key: values.get(key) for key in vars(default)}
    recorded = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in saved.items()
        if value is not None
    }
    if not recorded and own is None:
        return None
    return Preprocessing(**{**vars(default), **recorded})


def with_source(config: TrainConfig, source: ImageSource) -> TrainConfig:
    """Fills in what a config leaves to its data: classes, channels, sizes, statistics, white."""
    used = Preprocessing(mean=source.mean, std=source.std)
    dataset = with_preprocessing(config.dataset, source.shape[0], used)
    if isinstance(dataset, FileDataset) and dataset.max_value == "auto" and source.split:
        dataset = dataset.model_copy(update={"max_value": source.split.max_value})
    if isinstance(config.dataset, OwnDataset):
        dataset = _with_own_source(config.dataset, source)
    config = config.model_copy(update={"dataset": dataset})
    config = with_shape(config, source.num_classes, source.shape[0])
    return with_input_size(config, source.shape)


def _with_own_source(dataset: OwnDataset, source: ImageSource) -> OwnDataset:
    """Returns a section that says what is done to images, which for finished ones is nothing."""
    used: dict[str, Any] = {"mean": source.mean, "std": source.std}
    if source.shape[1:] != (dataset.image_size,) * 2:
        used["image_size"] = None
    elif dataset.image_size is not None:
        defaults = complete_preprocessing(dataset, source.shape[0])
        used |= {"interpolation": defaults.interpolation, "crop_share": defaults.crop_share}
    return dataset.model_copy(update=used)


def with_input_size(config: TrainConfig, shape: tuple[int, int, int]) -> TrainConfig:
    """Gives a model of timm with a fixed input size the size of the images.

    Args:
        config: A config.
        shape: Channels, height and width of its images.
    """
    model = config.model
    _, height, width = shape
    if library_of(model.name) is not timm_models or "img_size" in model.args:
        return config
    if not timm_models.takes_image_size(model.name, height, width):
        return config
    size = height if height == width else [height, width]
    model = model.model_copy(update={"args": FrozenArguments({**model.args, "img_size": size})})
    return config.model_copy(update={"model": model})


def ensure_weights(model: ModelConfig) -> Path:
    """Returns the file of a library's weights, after a download if this machine has none.

    One process of a machine downloads; others wait for it.

    Raises:
        ConfigError: The weights are not on this machine and cannot be downloaded.
    """
    library = library_of(model.name)
    assert library is not None, "the config has checked it"
    cached: Path | None = library.find_cached(model.name)
    if cached is not None:
        return cached
    check_connection(model)
    directory = library.cache_directory(model.name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / LOCK_NAME):
            path: Path = library.find_cached(model.name) or library.download(model.name)
            return path
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise refuse(_explain_missing(model, f"cannot be downloaded ({reason})")) from error


def check_connection(model: ModelConfig) -> None:
    """Checks that a library's weights are on this machine or their host can be reached.

    Raises:
        ConfigError: They are not, and the host is not reached in a few seconds.
    """
    reason = explain_no_download(model.name)
    if reason is not None:
        raise refuse(_explain_missing(model, f"cannot be downloaded ({reason})"))


def explain_no_download(name: str) -> str | None:
    """Returns why the weights of a library's model cannot be downloaded.

    None if they are on this machine or their host answers in a few seconds.
    """
    library = library_of(name)
    assert library is not None, "the config has checked it"
    if library.find_cached(name) is not None:
        return None
    if library is timm_models and _is_offline():
        return "HF_HUB_OFFLINE is set"
    address = library.address(name)
    try:
        with urlopen(Request(address, method="HEAD"), timeout=CONNECT_TIMEOUT_S):
            return None
    except HTTPError:
        return None  # the host answers; the download says what it does not permit
    except (OSError, HTTPException, ValueError) as error:
        return f"{address.split('/')[2]} cannot be reached: {getattr(error, 'reason', error)}"


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _explain_missing(model: ModelConfig, reason: str) -> str:
    library = library_of(model.name)
    assert library is not None, "the config has checked it"
    return (
        f'the weights of "{model.name}" are not on {platform.node()} and {reason}: put '
        f"{library.place(model.name)}, or set model.pretrained to the path of a file"
    )


def load_pretrained(model: nn.Module, config: ModelConfig, in_channels: int) -> None:
    """Gives a new model the weights that `model.pretrained` names, and starts a new classifier.

    Args:
        model: The model, on the CPU.
        config: The config's `model` section.
        in_channels: Channels of the images.

    Raises:
        ConfigError: The weights are missing or those of another model.
    """
    if load_weights(model, read_weights(model, config, in_channels)):
        start_head(model, config.head_init)


def read_weights(model: nn.Module, config: ModelConfig, in_channels: int) -> dict[str, Any]:
    """Returns the weights that `model.pretrained` names, by the names of the model's weights.

    Args:
        model: The model that they are for, also on the meta device.
        config: The config's `model` section.
        in_channels: Channels of the images.

    Raises:
        ConfigError: The weights are missing or those of another model.
    """
    library = library_of(config.name)
    if config.pretrained is True:
        path = ensure_weights(config)
        if library is torchvision_models:
            return torchvision_models.read_state(config.name, config.args)
        return timm_models.read_state(config.name, in_channels, config.args, path)
    path_text = str(config.pretrained)
    state, _ = read_file(path_text)
    try:
        return fit_weights(model, state)
    except ConfigError as error:
        refusal = refuse(f"{path_text} {error.problems[0].rule}")
        if library is not timm_models:
            raise refusal from error
    try:
        return fit_weights(
            model, timm_models.read_state(config.name, in_channels, config.args, state)
        )
    except (RuntimeError, KeyError, AttributeError, ConfigError):
        raise refusal from None
