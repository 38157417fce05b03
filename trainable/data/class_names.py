"""The names of the classes of a data set, without loading it.

Does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainable.config import BuiltinDataset, DatasetConfig, ImageFolderDataset
from trainable.data.shapes import dataset_classes
from trainable.errors import DataError, Problem

KEY = "dataset.classes"

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
        yield Problem(KEY, _describe(dataset, names))
    elif len(dataset.classes) != count:
        yield Problem(KEY, f"must have {dataset.name}'s {count} classes or be null, found "
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
        raise DataError(f"{KEY} {_describe(dataset, names)}")


def _describe(dataset: DatasetConfig, names: tuple[str, ...]) -> str:
    pairs = zip(names, dataset.classes or (), strict=False)
    different = next((f"{found} in the place of {name}" for name, found in pairs if name != found),
                     f"{len(dataset.classes or ())} names instead of {len(names)}")  # fmt: skip
    return f"must be {dataset.name}'s own names or null, found {different}"
