"""The classes and channels of a data set, without loading it.

Does not import torch. It reads the config and, for an image folder, the names in one directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainable.config import BuiltinDataset, DatasetConfig, ImageFolderDataset
from trainable.data.folder_scan import class_folders
from trainable.data.listing import TRAIN
from trainable.errors import DataError, Problem

BUILTIN_SHAPES = {
    "cifar10": (10, 3),
    "cifar100": (100, 3),
    "digits": (10, 1),
    "fashion_mnist": (10, 1),
    "mnist": (10, 1),
}
"""Name of each built-in data set -> number of classes, channels."""

BUILTIN_CLASSES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "digits": tuple(map(str, range(10))),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
    "mnist": (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six",
        "7 - seven", "8 - eight", "9 - nine",
    ),
}  # fmt: skip
"""Names as torchvision has them; those of `cifar100` are read from its files only."""

CLASSES_KEY = "dataset.classes"
IMAGE_FOLDER_CHANNELS = 3
"""The user's images are converted to RGB, whatever they are on disk."""


def dataset_shape(dataset: DatasetConfig) -> tuple[int, int]:
    """Returns the number of classes and of channels of a data set.

    Raises:
        DataError: An image folder is missing or has fewer than two classes.
    """
    return dataset_classes(dataset), dataset_channels(dataset)


def dataset_classes(dataset: DatasetConfig) -> int:
    """Returns the number of classes; only `image_folder` has to read the disk for it.

    Raises:
        DataError: The image folder is missing or has fewer than two classes.
    """
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_SHAPES[dataset.name][0]
    if isinstance(dataset, ImageFolderDataset):
        if dataset.classes is not None:
            return len(dataset.classes)
        return _count_class_folders(Path(dataset.root) / TRAIN)
    return dataset.num_classes


def dataset_channels(dataset: DatasetConfig) -> int:
    """Returns the number of channels of an image."""
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_SHAPES[dataset.name][1]
    if isinstance(dataset, ImageFolderDataset):
        return IMAGE_FOLDER_CHANNELS
    return dataset.shape[0]


def known_class_names(dataset: DatasetConfig) -> tuple[str, ...] | None:
    """Returns the names of the classes; None if only the data set's files have them."""
    if isinstance(dataset, ImageFolderDataset):
        return None
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_CLASSES.get(dataset.name)
    return tuple(map(str, range(dataset.num_classes)))


def check_classes(dataset: DatasetConfig) -> Iterator[Problem]:
    """Yields the problem with `dataset.classes` of a data set whose classes are known by name."""
    if dataset.classes is None or isinstance(dataset, ImageFolderDataset):
        return
    names, count = known_class_names(dataset), dataset_classes(dataset)
    if names is not None and names != dataset.classes:
        yield Problem(CLASSES_KEY, _describe(dataset, names))
    elif len(dataset.classes) != count:
        yield Problem(CLASSES_KEY, f"must have {dataset.name}'s {count} classes or be null, found "
                      f"{len(dataset.classes)}")  # fmt: skip


def refuse_other_classes(dataset: DatasetConfig, names: tuple[str, ...]) -> None:
    """Refuses a config's names of classes that are not those of the loaded data.

    Args:
        dataset: The config's `dataset` section.
        names: One name per label, in label order.

    Raises:
        DataError: The config has other names.
    """
    if dataset.classes not in (None, names):
        raise DataError(f"{CLASSES_KEY} {_describe(dataset, names)}")


def _describe(dataset: DatasetConfig, names: tuple[str, ...]) -> str:
    pairs = zip(names, dataset.classes or (), strict=False)
    different = next((f"{other} in the place of {name}" for name, other in pairs if name != other),
                     f"{len(dataset.classes or ())} names instead of {len(names)}")  # fmt: skip
    return f"must be {dataset.name}'s own names or null, found {different}"


def _count_class_folders(directory: Path) -> int:
    if not directory.is_dir():
        raise DataError(
            f"image_folder needs one folder per class in {directory}, which is no directory; "
            "correct dataset.root or state model.num_classes"
        )
    count = len(class_folders(directory))
    if count < 2:
        raise DataError(
            f"image_folder needs at least 2 class folders in {directory}, found {count}"
        )
    return count
