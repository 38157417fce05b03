"""Labels in arrays: whole numbers or texts, which become numbers from 0 on and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.array_file.opened import ArrayHeader
from trainable.data.table import natural_order
from trainable.errors import list_first

MAX_LISTED_CLASSES = 10
TRAIN_LABELS = "y_train"


def check_labels(name: str, header: ArrayHeader) -> str | None:
    """Returns what is wrong with the type and shape of labels, if anything.

    Args:
        name: Their name in the file.
        header: Their header.
    """
    shape = list(header.shape)
    if header.kind == "O":
        remedy = "save texts as numpy.array(labels, dtype=str)"
        return f"{name} must hold whole numbers or texts, found {header.dtype}; {remedy}"
    if header.kind not in "iubUS":
        remedy = f"{name}.astype(int)"
        return f"{name} must hold whole numbers or texts, found {header.dtype}; {remedy}"
    if len(shape) == 2 and shape[1] > 1:
        remedy = f"of one-hot labels save {name}.argmax(1)"
        return f"{name} must have one label per image, found {shape}; {remedy}"
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        return f"{name} must have the shape [N], found {shape}"
    return None


def encode_labels(
    arrays: Mapping[str, NDArray[Any]], stated: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]], list[str]]:
    """Numbers the classes of labels.

    Texts are the names of their classes, in natural order. Whole numbers are in ascending order;
    their names are the numbers as text, or those that the config states for them.

    Args:
        arrays: Name in the file -> labels, `[N]` or `[N, 1]`; that of the training set is first.
        stated: `dataset.classes`.

    Returns:
        The names of the classes, the labels `[N]` by their name in the file, and sentences on what
        is wrong with them.
    """
    values = {name: _flatten(array) for name, array in arrays.items()}
    problems = _check_values(values)
    if problems:
        return (), {}, problems
    train = values[TRAIN_LABELS]
    is_text = train.dtype.kind == "U"
    present = np.unique(train).tolist()
    names = natural_order(present) if is_text else tuple(map(str, sorted(present)))
    for name, labels in values.items():
        new = [str(one) for one in np.unique(labels).tolist() if one not in set(present)]
        if new:
            problems.append(f"{name} has classes that {TRAIN_LABELS} does not have: {_list(new)}")
    if len(names) < 2:
        problems.append(f"{TRAIN_LABELS} must have at least 2 classes, found {_list(names)} alone")
    order, names, problem = _order(names, stated, is_text=is_text)
    problems += [problem] if problem else []
    if problems:
        return names, {}, problems
    numbers = {name: label for label, name in enumerate(order)}
    encoded = {}
    for name, labels in values.items():
        own, inverse = np.unique(labels, return_inverse=True)
        table = np.asarray([numbers[str(one)] for one in own.tolist()], dtype=np.int64)
        encoded[name] = table[inverse.reshape(-1)]
    return names, encoded, []


def _order(
    names: tuple[str, ...], stated: Sequence[str] | None, *, is_text: bool
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Returns the labels as text in label order, the class names, and the problem with them.

    Args:
        names: The labels as text, in their own order.
        stated: `dataset.classes`.
        is_text: Whether the labels are texts. Names can be stated for numbers only, and other
            numbers are no names: they are those that a training has recorded.
    """
    if stated is None:
        return names, names, None
    if set(stated) == set(names):
        return tuple(stated), tuple(stated), None
    are_names = not is_text and not all(name.isdecimal() for name in stated)
    if are_names and len(stated) == len(names):
        return names, tuple(stated), None
    if are_names:
        rule = (
            f"{TRAIN_LABELS} must have the {len(stated)} classes of dataset.classes, found "
            f"{len(names)}: {_list(names)}"
        )
        return names, names, rule
    parts = (
        ("missing", [name for name in stated if name not in names]),
        ("new", [name for name in names if name not in stated]),
    )
    difference = " and ".join(f"{word} {_list(listed)}" for word, listed in parts if listed)
    rule = f"{TRAIN_LABELS} must have the classes of dataset.classes: {difference}"
    return names, names, rule


def _flatten(array: NDArray[Any]) -> NDArray[Any]:
    """Returns labels as `[N]` texts or whole numbers."""
    labels = array.reshape(-1)
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    return labels.astype(np.int64) if labels.dtype.kind in "bu" else labels


def _check_values(values: Mapping[str, NDArray[Any]]) -> list[str]:
    """Returns what is wrong with single labels."""
    problems = []
    if len({labels.dtype.kind == "U" for labels in values.values()}) > 1:
        listed = " and ".join(values)
        problems.append(f"{listed} must be of one kind, found texts and whole numbers")
    for name, labels in values.items():
        if labels.dtype.kind == "U":
            empty = np.flatnonzero(np.char.strip(labels) == "")
            rule = "must have no empty texts"
        else:
            empty, rule = np.flatnonzero(labels < 0), "must not be negative"
        if len(empty):
            shown = "" if labels.dtype.kind == "U" else f"{labels[empty[0]]}, "
            more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
            problems.append(
                f"{name} {rule}, found {shown}position {empty[0]}{more}; leave out images without "
                "a class"
            )
    return problems


def _list(names: Sequence[str]) -> str:
    return list_first(names, MAX_LISTED_CLASSES)
