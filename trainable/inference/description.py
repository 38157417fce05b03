"""The description that an exported model carries, so that it can be used without guessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from trainable.artifacts.checkpoint import BEST_ACC, EPOCH, IMAGE, RESUME
from trainable.config import (
    BuiltinDataset,
    DatasetConfig,
    FileDataset,
    OwnDataset,
    SyntheticDataset,
    TrainConfig,
    parse_config,
)
from trainable.config.preprocessing import complete_preprocessing, with_preprocessing
from trainable.data.arrays import (
    TORCHVISION_DATASETS,
    Statistics,
    channel_statistics,
    load_arrays,
)
from trainable.data.shapes import dataset_channels, known_class_names
from trainable.errors import DataError
from trainable.preflight.shapes import known_shape

Description = dict[str, Any]
"""Plain values: `architecture`, `model` (its section of the config), `classes` (names in label
order), `preprocessing`, `checkpoint` (epoch and metrics) and `versions`."""

KEY = "tune_sweeps"
"""Name of the description in the metadata of every format, where it is JSON."""
MODEL_KEYS = ("name", "args", "num_classes", "in_channels")
"""Keys of `model` that say what is built."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a model.

    It gets `channels` channels, its shorter side is resized to `resize`, the middle of `size` is
    cut out, the values are scaled to [0, 1] and normalised.
    """

    channels: int
    size: tuple[int, int]
    """Height and width in pixels."""
    resize: int
    crop_share: float
    """`size` relative to `resize`, before rounding."""
    interpolation: str
    mean: tuple[float, ...]
    """Mean of each channel."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""


def describe_model(
    config: TrainConfig, state: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Description:
    """Returns what a user of an exported model has to know.

    Args:
        config: The config of the checkpoint, with all sizes resolved.
        state: The checkpoint.
        metrics: Metrics of the checkpoint's epoch, besides the best accuracy.
    """
    dataset = config.dataset
    names = dataset.classes or known_class_names(dataset)
    model = config.model.model_dump(mode="json")
    return {
        "architecture": config.model.name,
        "model": {key: model[key] for key in MODEL_KEYS if key in model},
        "classes": None if names is None else list(names),
        "preprocessing": asdict(find_preprocessing(config, state)),
        "checkpoint": {
            "epoch": state[EPOCH],
            "best_acc": state[BEST_ACC],
            **({"weights": state["weights"]} if "weights" in state else {}),
            **metrics,
        },
        "versions": {"tune_sweeps": _own_version(), "torch": torch.__version__},
    }


def find_preprocessing(config: TrainConfig, state: Mapping[str, Any]) -> Preprocessing:
    """Returns the preprocessing of a config's evaluation.

    A config from before it was recorded has the values that were built in then.

    Args:
        config: The config of the checkpoint, with all sizes resolved.
        state: The checkpoint; it has the size of images that are not resized.

    Raises:
        DataError: A checkpoint of an earlier version needs its data set, which is missing.
    """
    shape = state.get(RESUME, {}).get(IMAGE) or _find_shape(config)
    channels, height, width = shape
    dataset = with_preprocessing(config.dataset, channels)
    used = complete_preprocessing(dataset, channels)
    share = 1.0
    if isinstance(dataset, FileDataset | OwnDataset) and dataset.image_size is not None:
        height = width = dataset.image_size
        share = used.crop_share
    mean, std = _find_statistics(dataset)
    return Preprocessing(
        channels=channels,
        size=(height, width),
        resize=round(min(height, width) / share),
        crop_share=share,
        interpolation=used.interpolation,
        mean=tuple(mean),
        std=tuple(std),
    )


def _find_shape(config: TrainConfig) -> tuple[int, int, int]:
    """Returns the shape of the images of a checkpoint that does not state it."""
    shape = known_shape(config)
    if shape is not None:
        return shape.image
    dataset = config.dataset
    side = complete_preprocessing(dataset, dataset_channels(dataset)).image_size
    return dataset_channels(dataset), side, side


def plain_config(description: Description) -> TrainConfig:
    """Returns a config whose model is the described one; everything else is of no use."""
    section = {key: description["model"][key] for key in MODEL_KEYS if key in description["model"]}
    return parse_config(
        {
            "dataset": {"name": "synthetic"},
            "model": section,
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 1.0},
        },
        "the description of the exported model",
    )


def _find_statistics(dataset: DatasetConfig) -> Statistics:
    """Returns mean and standard deviation; those of the images where the config has none."""
    mean, std = dataset.mean, dataset.std
    if mean is not None and std is not None:
        return mean, std
    if not isinstance(dataset, BuiltinDataset | SyntheticDataset):
        raise DataError(
            f"dataset.mean and dataset.std must be set for {dataset.name}: they are not in the "
            "checkpoint"
        )
    if dataset.name in TORCHVISION_DATASETS:
        means, stds = TORCHVISION_DATASETS[dataset.name].statistics
    else:
        means, stds = channel_statistics(load_arrays(dataset).hold_out(dataset).train.pixels)
    return (means if mean is None else mean), (stds if std is None else std)


def _own_version() -> str | None:
    """Returns the version of this project; None where it is not installed."""
    try:
        return version("tune-sweeps")
    except PackageNotFoundError:
        return None
