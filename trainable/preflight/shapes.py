"""Checks of classes, channels, class weights and batch size against a data set's known shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import ceil

from trainable.config import (
    MODEL_NAMES,
    BCEWithLogitsLoss,
    BuiltinDataset,
    CrossEntropyLoss,
    FileDataset,
    FocalLoss,
    NLLLoss,
    SyntheticDataset,
    TrainConfig,
)
from trainable.config.own_code import is_own_code
from trainable.config.preprocessing import complete_preprocessing
from trainable.config.sections.augment import channel_problems
from trainable.config.sections.metrics import TOP_K
from trainable.data.shapes import check_classes, dataset_channels, dataset_classes
from trainable.errors import DataError, Problem

IMAGE_SIDES = {"cifar10": 32, "cifar100": 32, "digits": 8, "fashion_mnist": 28, "mnist": 28}
"""Name of each built-in data set -> height and width of its images."""

REDUCTIONS = {"mobilenetv1": 16, "resnet18": 8, "resnet20": 4, "vgg11": 16} | {
    name: side
    for side, names in (
        (4, ("resnet32", "resnet44", "resnet56", "resnet110")),
        (8, ("resnet34", "resnet50", "resnet101", "resnet152")),
        (16, ("vgg13", "vgg16", "vgg19")),
    )
    for name in names
}
"""Model -> the side of the image for each pixel, rounded up, at its last batch norm. The missing
`cnv` has a batch norm behind the image's mean."""


@dataclass(frozen=True)
class DataShape:
    """Sizes of a data set, as far as they are known before it is loaded."""

    num_classes: int
    image: tuple[int, int, int]
    """Channels, height, width."""
    train_images: int | None = None
    """None if it is not known, but more than a few."""


@dataclass(frozen=True)
class ImageCheck:
    """The result of a look at a data set on disk."""

    shape: DataShape | None
    """Sizes that follow from the files; None if they cannot be used."""
    problems: list[Problem]
    notices: list[str] = field(default_factory=list)
    """Lines for the user on what is read and what is done to the images."""


def to_problems(error: DataError) -> list[Problem]:
    """Returns the problems of a data set, each with its key.

    Args:
        error: Its sentences begin with a key of `dataset`, or are about `dataset.root`.
    """
    problems = []
    for sentence in re.split(r"; (?=dataset\.\w+[: ])", str(error)):
        match = re.fullmatch(r"(dataset\.\w+):? (.*)", sentence, re.DOTALL)
        key, rule = match.groups() if match else ("dataset.root", sentence)
        problems.append(Problem(key, rule))
    return problems


def known_shape(config: TrainConfig) -> DataShape | None:
    """Returns the shape of the config's data; None if the data have to be read for it."""
    dataset = config.dataset
    if not isinstance(dataset, BuiltinDataset | SyntheticDataset):
        return None
    classes, channels = dataset_classes(dataset), dataset_channels(dataset)
    if isinstance(dataset, BuiltinDataset):
        side = IMAGE_SIDES[dataset.name]
        return DataShape(classes, (channels, side, side))
    _, height, width = dataset.shape
    return DataShape(classes, (channels, height, width), dataset.num_train)


def with_image_size(shape: DataShape, dataset: FileDataset) -> DataShape:
    """Returns the shape of images in files at the size that a data set gives them."""
    side = complete_preprocessing(dataset, shape.image[0]).image_size
    return replace(shape, image=(shape.image[0], side, side))


def check_shapes(config: TrainConfig, data: DataShape) -> Iterator[Problem]:
    """Yields the keys of a config that do not fit its data."""
    model = config.model
    if model.num_classes is not None and model.num_classes < data.num_classes:
        rule = f"must be at least the data's {data.num_classes}, found {model.num_classes}"
        yield Problem("model.num_classes", rule)
    channels = data.image[0]
    if not is_own_code(model.name) and model.in_channels not in (None, channels):
        rule = f"must be the data's {channels}, found {model.in_channels}"
        yield Problem("model.in_channels", rule)
    for name in ("mean", "std"):
        values = getattr(config.dataset, name)
        if values is not None and len(values) != channels:
            rule = f"must have one value per channel ({channels}), found {len(values)}"
            yield Problem(f"dataset.{name}", rule)
    yield from _check_weights(config, model.num_classes or data.num_classes)
    yield from _check_top_k(config, model.num_classes or data.num_classes)
    yield from _check_split(config)
    yield from check_classes(config.dataset)
    for text in channel_problems(config.augment, config.dataset, channels):
        key, _, rule = text.partition(" ")
        yield Problem(key, rule)
    if trains_on_one_image(config, data) and _has_one_value(model.name, data.image):
        _, height, width = data.image
        key = "training.batch_size" if config.training.batch_size == 1 else "dataset.num_train"
        rule = (
            f"must be at least 2, found 1: {model.name} leaves one pixel of a {height}x{width} "
            "image, and batch norm needs more than one value per channel"
        )
        yield Problem(key, rule)


def trains_on_one_image(config: TrainConfig, data: DataShape) -> bool:
    """Returns whether a training step has a batch of a single image.

    A last batch of one image is left out and parts of a batch have at least two, so that only a
    batch size of 1 or a single training image remain.
    """
    return config.training.batch_size == 1 or data.train_images == 1


def _has_one_value(model: str, image: tuple[int, int, int]) -> bool:
    """Returns whether a batch norm of a built-in model sees one value per channel and image."""
    if model not in MODEL_NAMES:
        return False
    if model not in REDUCTIONS:
        return True
    return all(ceil(side / REDUCTIONS[model]) == 1 for side in image[1:])


def _check_top_k(config: TrainConfig, num_classes: int) -> Iterator[Problem]:
    for name in config.metrics:
        if TOP_K.get(name, 0) >= num_classes:
            yield Problem(
                "metrics", f"{name} is always 1 with {num_classes} classes; leave it out"
            )


def _check_split(config: TrainConfig) -> Iterator[Problem]:
    """Yields the problem with splitting synthetic images; those of files are counted there."""
    dataset = config.dataset
    if not isinstance(dataset, SyntheticDataset):
        return
    key, parts = ("folds", dataset.folds) if dataset.folds is not None else ("val_split", 2)
    least = parts * dataset.num_classes
    if (dataset.folds or dataset.val_split) is not None and dataset.num_train < least:
        rule = (
            f"must be at least {least} with dataset.{key}, {parts} images of every class, found "
            f"{dataset.num_train}"
        )
        yield Problem("dataset.num_train", rule)


def _check_weights(config: TrainConfig, num_classes: int) -> Iterator[Problem]:
    loss = config.loss
    if isinstance(loss, CrossEntropyLoss | NLLLoss | FocalLoss):
        key, weights = "loss.weight", loss.weight
    elif isinstance(loss, BCEWithLogitsLoss):
        key, weights = "loss.pos_weight", loss.pos_weight
    else:
        return
    if not isinstance(weights, str | None) and len(weights) != num_classes:
        yield Problem(key, f"must have one value per class ({num_classes}), found {len(weights)}")
