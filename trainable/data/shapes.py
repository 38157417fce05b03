"""The number of classes and channels of a data set, without loading it.

Does not import torch. It reads the config and, for an image folder, the names in one directory.
"""

from __future__ import annotations

from pathlib import Path

from trainable.config import BuiltinDataset, DatasetConfig, ImageFolderDataset
from trainable.data.folder_scan import TRAIN, class_folders
from trainable.errors import DataError

BUILTIN_SHAPES = {
    "cifar10": (10, 3),
    "cifar100": (100, 3),
    "digits": (10, 1),
    "fashion_mnist": (10, 1),
    "mnist": (10, 1),
}
"""Name of each built-in data set -> number of classes, channels."""

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
