"""Labels and class names of a data set of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from trainable.data.own.items import ItemError, Label, read_label
from trainable.data.table import natural_order
from trainable.errors import DataError, list_first

ATTRIBUTES = ("targets", "labels")
"""Attributes with the labels of all items; torchvision's data sets have the first one."""
SHOWN = 5


class Classes:
    """The classes of a data set, which turn labels into numbers.

    Args:
        names: One name per label, in label order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(names)}

    def encode(self, label: Label, place: str) -> int:
        """Returns the number of a label.

        Args:
            label: A number or the name of a class.
            place: How messages name the item.

        Raises:
            DataError: There is no such class.
        """
        if isinstance(label, int) and label < len(self.names):
            return label
        if label in self._numbers:
            return self._numbers[str(label)]
        if isinstance(label, int):
            rule = f"a label from 0 to {len(self.names) - 1}"
        else:
            rule = f"one of the {len(self.names)} classes as its label"
        raise DataError(f"{place} must have {rule} ({_list(self.names)}), found {label!r}")


def find_stated_labels(data: Any) -> list[Label] | None:
    """Returns the labels of all items of a data set that states them; None if it does not.

    They are read from `targets` or `labels`, also through `Subset` and `ConcatDataset`, and from
    the last tensor of a `TensorDataset`.
    """
    if isinstance(data, Subset):
        labels = find_stated_labels(data.dataset)
        return None if labels is None else [labels[index] for index in data.indices]
    if isinstance(data, ConcatDataset):
        parts = [find_stated_labels(part) for part in data.datasets]
        return None if None in parts else [label for part in parts for label in part or ()]
    if isinstance(data, TensorDataset):
        return _read_all(data.tensors[-1], len(data))
    for name in ATTRIBUTES:
        labels = _read_all(getattr(data, name, None), len(data))
        if labels is not None:
            return labels
    return None


def _read_all(values: Any, count: int) -> list[Label] | None:
    if isinstance(values, np.ndarray | Tensor):
        if values.ndim != 1:
            return None
        values = values.tolist()
    if not isinstance(values, list | tuple) or len(values) != count:
        return None
    try:
        return [read_label(value) for value in values]
    except ItemError:
        return None


def choose_classes(
    name: str,
    labels: Iterable[Label],
    *,
    stated: Sequence[str] | None,
    configured: Sequence[str] | None,
) -> Classes:
    """Returns the classes of a data set.

    They are those that the data set states. Otherwise those of the config, if they fit the labels.
    Otherwise the texts that are labels, in natural order, or the numbers from 0 to the largest.

    Args:
        name: `module:callable`, for messages.
        labels: The labels of all training images.
        stated: Names that the data set states.
        configured: `dataset.classes`.

    Raises:
        DataError: There are fewer than two classes, or numbers and texts, or numbers are missing.
    """
    present = set(labels)
    numbers = sorted(label for label in present if isinstance(label, int))
    texts = natural_order(label for label in present if isinstance(label, str))
    if stated is not None:
        return Classes(stated)
    start = f'dataset.name "{name}" must have'
    if numbers and texts:
        raise DataError(
            f"{start} either numbers or texts as labels, found {numbers[0]} and {texts[0]!r}"
        )
    if texts:
        is_order = configured is not None and set(configured) == set(texts)
        names: Sequence[str] = configured if is_order and configured else texts
    elif configured is not None and numbers[-1] < len(configured):
        return Classes(configured)
    else:
        names = [str(number) for number in range(numbers[-1] + 1)]
        missing = sorted(set(range(len(names))) - set(numbers))
        if missing and len(present) > 1:
            raise DataError(
                f"{start} labels from 0 on without a gap, found {_list(numbers)} and no "
                f"{_list(missing)}; count them from 0, or return classes, their names"
            )
    if len(present) < 2:
        raise DataError(f"{start} at least 2 classes, found {_list(names[-1:])} alone")
    return Classes(names)


def _list(values: Sequence[Any]) -> str:
    return list_first(values, SHOWN)
