"""The classes and channels of a data set, without loading it.

Imports torch for `.pt` files only. It reads the config and, for an image folder, the names in one
directory; for `table` the table, for `arrays` the labels and the shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainable.config import (
    ArraysDataset,
    BuiltinDataset,
    DatasetConfig,
    FileDataset,
    ImageFolderDataset,
    OwnDataset,
    SyntheticDataset,
)
from trainable.data.class_names import CLASSES_KEY, describe_difference, describe_unusable
from trainable.data.folder_scan import class_folders, train_folder
from trainable.data.listing import list_images
from trainable.errors import DataError, Problem

if TYPE_CHECKING:
    from trainable.data.array_file import ArraysSummary

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

IMAGE_FOLDER_CHANNELS = 3
"""The user's images are converted to RGB, whatever they are on disk."""


def dataset_shape(dataset: DatasetConfig) -> tuple[int, int]:
    """Returns the number of classes and of channels of a data set.

    Raises:
        DataError: An image folder is missing or has fewer than two classes, or the data set is of
            the user's own and has not been read yet.
    """
    return dataset_classes(dataset), dataset_channels(dataset)


def dataset_classes(dataset: DatasetConfig) -> int:
    """Returns the number of classes; images in files and `arrays` have to be looked at for it.

    Raises:
        DataError: See `dataset_shape`.
    """
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_SHAPES[dataset.name][0]
    if isinstance(dataset, SyntheticDataset):
        return dataset.num_classes
    if dataset.classes is not None:
        return len(dataset.classes)
    if isinstance(dataset, OwnDataset):
        return _own_shape(dataset)[0]
    if isinstance(dataset, ArraysDataset):
        return len(_summarize(dataset).classes)
    if isinstance(dataset, ImageFolderDataset):
        return _count_class_folders(train_folder(dataset))
    return len(list_images(dataset).classes)


def dataset_channels(dataset: DatasetConfig) -> int:
    """Returns the number of channels of an image.

    Raises:
        DataError: A file of arrays cannot be used, or the data set is of the user's own and has
            not been read yet.
    """
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_SHAPES[dataset.name][1]
    if isinstance(dataset, FileDataset):
        return IMAGE_FOLDER_CHANNELS
    if isinstance(dataset, OwnDataset):
        return _own_shape(dataset)[1]
    if isinstance(dataset, ArraysDataset):
        return _summarize(dataset).image[0]
    return dataset.shape[0]


def _summarize(dataset: ArraysDataset) -> ArraysSummary:
    from trainable.data.array_file import summarize_arrays  # numpy

    return summarize_arrays(dataset)


_own_shapes: dict[str, tuple[int, int]] = {}
"""Number of classes and channels of the data sets of the user's own that this process has read."""


def remember_own_shape(dataset: OwnDataset, num_classes: int, channels: int) -> None:
    """Keeps the shape of a data set of the user's own, which only its code knows."""
    _own_shapes[_own_key(dataset)] = num_classes, channels


def _own_shape(dataset: OwnDataset) -> tuple[int, int]:
    key = _own_key(dataset)
    if key not in _own_shapes:
        raise DataError(
            f'the classes and channels of "{dataset.name}" are not known before its code has run; '
            "state model.num_classes and model.in_channels"
        )
    return _own_shapes[key]


def _own_key(dataset: OwnDataset) -> str:
    return dataset.model_dump_json(include={"name", "args", "seed"})


def known_class_names(dataset: DatasetConfig) -> tuple[str, ...] | None:
    """Returns the names of the classes; None if only the data set's files have them."""
    if isinstance(dataset, BuiltinDataset):
        return BUILTIN_CLASSES.get(dataset.name)
    if isinstance(dataset, SyntheticDataset):
        return tuple(map(str, range(dataset.num_classes)))
    return None


def check_classes(dataset: DatasetConfig) -> Iterator[Problem]:
    """Yields the problem with `dataset.classes` of a data set whose classes are known by name."""
    if dataset.classes is None or not isinstance(dataset, BuiltinDataset | SyntheticDataset):
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
    unusable = describe_unusable(names)
    if unusable:
        raise DataError(f"{dataset.name} has names of classes that cannot be used: {unusable}")
    if dataset.classes not in (None, names):
        raise DataError(f"{CLASSES_KEY} {_describe(dataset, names)}")


def _describe(dataset: DatasetConfig, names: tuple[str, ...]) -> str:
    stated = dataset.classes or ()
    rule = f"must be {dataset.name}'s own names or null"
    difference = describe_difference(stated, names)
    if difference:
        return f"{rule}: {difference}"
    moved = next((a, b) for a, b in zip(stated, names, strict=False) if a != b)
    return f"{rule}, found {moved[0]} in the place of {moved[1]}"


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
