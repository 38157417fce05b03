"""Imports and calls a data set of the user's own, and reads what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

from trainable.config import OwnDataset
from trainable.config.names import suggestion
from trainable.config.own_code import import_own
from trainable.data.own.fetching import OwnItems, seeded_generators
from trainable.data.own.items import describe
from trainable.errors import ConfigError, DataError, Problem, TuneSweepsError, summarize_exception

NAME = "dataset.name"
SPLITS = ("train", "test", "val")
"""Keys of the splits, in the order of a tuple."""
CLASSES = "classes"
FORM = (
    'return {"train": ..., "test": ...}, each a torch.utils.data.Dataset or a pair of arrays '
    "(images, labels)"
)


@dataclass(frozen=True)
class OwnData:
    """A data set of the user's own."""

    splits: Mapping[str, OwnItems]
    """`train` and, as far as it has them, `test` and `val`."""
    classes: tuple[str, ...] | None
    """Names of the classes in label order; None if it does not state them."""


class PairedArrays(Dataset[tuple[Any, Any]]):
    """A data set of two arrays.

    Args:
        images: `[N, ...]`.
        labels: `[N]`.
    """

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.targets = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.images[index], self.targets[index]


def build_own(dataset: OwnDataset) -> OwnData:
    """Imports and calls the callable of a data set.

    Random numbers that it draws from the global generators depend on `dataset.seed` alone.

    Args:
        dataset: The config's `dataset` section.

    Raises:
        ConfigError: The callable does not take the arguments.
        TuneSweepsError: It cannot be imported or called.
        DataError: It returns something else than data sets.
    """
    name = dataset.name
    build = import_own(NAME, name)
    keywords = _bind(dataset, build)
    try:
        with seeded_generators(dataset.seed):
            returned = build(**keywords)
    except Exception as error:  # whatever the user's code raises
        arguments = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        raise TuneSweepsError(
            f'{NAME} "{name}" has failed, called with ({arguments}): {summarize_exception(error)}'
        ) from error
    values = _name_splits(name, returned)
    classes = _read_classes(name, values)
    return OwnData(
        {
            key: _open_split(name, key, values[key])
            for key in SPLITS
            if values.get(key) is not None
        },
        classes,
    )


def _bind(dataset: OwnDataset, build: Any) -> dict[str, Any]:
    """Returns the keywords for the callable; the seed is one if it takes it."""
    keywords = dict(dataset.args)
    try:
        signature = inspect.signature(build)
    except (TypeError, ValueError):  # code that is not Python's
        return keywords
    parameters = signature.parameters
    if "seed" in parameters and "seed" not in keywords:
        keywords["seed"] = dataset.seed
    accepts_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [] if accepts_all else [key for key in keywords if key not in parameters]
    if unknown:
        raise ConfigError(
            "config",
            [
                Problem(
                    f"dataset.args.{key}",
                    f'"{dataset.name}" takes no such argument{suggestion(key, parameters)}',
                )
                for key in unknown
            ],
        )
    try:
        signature.bind(**keywords)
    except TypeError as error:
        rule = f'must be the arguments of "{dataset.name}": {error}'
        raise ConfigError("config", [Problem("dataset.args", rule)]) from error
    return keywords


def _name_splits(name: str, returned: Any) -> dict[str, Any]:
    """Returns what a callable has returned as a mapping."""
    if isinstance(returned, Mapping):
        keys = (*SPLITS, CLASSES)
        unknown = [key for key in returned if key not in keys]
        if unknown:
            rule = f"has the key {unknown[0]!r}{suggestion(str(unknown[0]), keys)}"
            raise _refuse(name, rule)
        values = dict(returned)
    elif isinstance(returned, tuple | list) and len(returned) in (2, 3):
        if all(isinstance(part, np.ndarray | Tensor) for part in returned):
            raise _refuse(
                name, f"has returned {len(returned)} arrays, which are no splits; {FORM}"
            )
        values = dict(zip(SPLITS, returned, strict=False))
    else:
        raise _refuse(name, f"has returned {describe(returned)}; {FORM}")
    if values.get("train") is None:
        raise _refuse(name, f"has returned no train; {FORM}")
    return values


def _open_split(name: str, split: str, value: Any) -> OwnItems:
    """Returns a split; refuses what is not a map-style data set with items."""
    if isinstance(value, tuple | list) and len(value) == 2 and _is_array(value[0]):
        images, labels = value
        if not _is_array(labels) and not isinstance(labels, list | tuple):
            raise _refuse(name, f"has {describe(labels)} as the labels of {split}")
        if len(images) != len(labels):
            rule = f"has {len(images)} images and {len(labels)} labels in {split}"
            raise _refuse(name, rule)
        value = PairedArrays(images, labels)
    is_iterable = isinstance(value, IterableDataset | Mapping | str)
    if is_iterable or not hasattr(value, "__getitem__") or not hasattr(value, "__len__"):
        rule = (
            f"must return map-style data sets, with len and [], found {describe(value)} as "
            f"{split}; return list(...) of it if it fits into memory"
        )
        raise _refuse(name, rule)
    try:
        count = len(value)
    except Exception as error:  # whatever the user's code raises
        rule = f"must return data sets with a len, found {describe(value)} as {split}: {error}"
        raise _refuse(name, rule) from error
    if count == 0:
        raise _refuse(name, f"has no items in {split}")
    return OwnItems(value, name, split)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor) and value.ndim > 0


def _read_classes(name: str, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns the names of classes that are returned, else those of the training set."""
    classes = values.get(CLASSES)
    if classes is None:
        classes = find_attribute(values["train"], (CLASSES,))
        if not _are_names(classes):
            return None
    if not _are_names(classes):
        rule = (
            "must have at least 2 different texts as classes, in label order, found "
            f"{classes!r:.100}"
        )
        raise _refuse(name, rule)
    return tuple(map(str, classes))


def _are_names(classes: Any) -> bool:
    return (
        isinstance(classes, Sequence | np.ndarray)
        and not isinstance(classes, str)
        and all(isinstance(name, str) for name in classes)
        and 2 <= len(classes) == len(set(classes))
    )


def find_attribute(data: Any, names: Sequence[str]) -> Any:
    """Returns the first of these attributes that a data set has; a subset has its data set's."""
    while isinstance(data, Subset):
        data = data.dataset
    return next((value for n in names if (value := getattr(data, n, None)) is not None), None)


def _refuse(name: str, rule: str) -> DataError:
    return DataError(f'{NAME} "{name}" {rule}')
