"""Stratified splits of a list of images that are the same on every machine.

An image's part depends on its position, so the list must never change: those of the built-in data
sets, of arrays and of data sets of one's own do not. For images in files see `SplitRecord`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainable.config import DatasetConfig
from trainable.errors import DataError, list_first

Indices = NDArray[np.int64]

TEST_SEED = 0
"""The seed of every test set that is drawn, whatever the config's seeds are, so that results can
be compared."""

MAX_LISTED_CLASSES = 10


def hold_out_by_position(
    labels: Indices, dataset: DatasetConfig, names: Sequence[str]
) -> tuple[Indices, Indices] | None:
    """Divides a training set as `dataset.val_split`, or `dataset.folds` and `fold`, say.

    Args:
        labels: `[N]`, of the training images in their order.
        dataset: The config's `dataset` section.
        names: Class names in label order, for the error message.

    Returns:
        Ascending indices of the images that are trained and of those that are held out; None if
        none are.

    Raises:
        DataError: A class has too few images.
    """
    if dataset.folds is not None:
        folds = fold_by_position(labels, dataset.folds, seed=dataset.seed, names=names)
        return np.flatnonzero(folds != dataset.fold), np.flatnonzero(folds == dataset.fold)
    if dataset.val_split is not None:
        return split_by_position(labels, dataset.val_split, seed=dataset.seed, names=names)
    return None


def split_off_test(
    labels: Indices, fraction: float, names: Sequence[str]
) -> tuple[Indices, Indices]:
    """Divides a list of images by `dataset.test_split`, the same for every `dataset.seed`.

    Args:
        labels: `[N]`, of all images that are no validation images of their own.
        fraction: Share of the test set.
        names: Class names in label order, for the error message.

    Returns:
        Ascending indices of the training set and of the test set.

    Raises:
        DataError: A class has a single image.
    """
    key = "dataset.test_split"
    return split_by_position(labels, fraction, seed=TEST_SEED, names=names, key=key)


def fold_by_position(
    labels: Indices, folds: int, *, seed: int, names: Sequence[str] = ()
) -> Indices:
    """Divides a list of images into folds with the same proportions of classes.

    The sizes of the folds, and those of a class's images in them, differ by at most one.

    Args:
        labels: `[N]`.
        folds: Number of folds.
        seed: Seed of the choice.
        names: Class names for the error message; by default the labels.

    Returns:
        The fold of each image, `[N]`, from 0 on.

    Raises:
        DataError: A class has fewer images than there are folds.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    result = np.zeros(len(labels), dtype=np.int64)
    present, counts = np.unique(labels, return_counts=True)
    check_counts(counts, folds, _names_of(present, names), key="dataset.folds")
    first = 0
    for label, count in zip(present, counts, strict=True):
        members = np.flatnonzero(labels == label)
        sizes = fold_sizes(count, folds, first=first)
        order = members[np.argsort(keys[members], kind="stable")]
        result[order] = np.repeat(np.arange(folds), sizes)
        first += count
    return result


def fold_sizes(count: int, folds: int, *, first: int) -> list[int]:
    """Returns how many of a class's images are in each fold.

    Args:
        count: Number of the class's images.
        folds: Number of folds.
        first: Fold, modulo `folds`, that gets the first image beyond equal shares. It is the
            number of images of the classes before, so that whole folds are equal in size too.
    """
    extra = {(first + number) % folds for number in range(count % folds)}
    return [count // folds + (fold in extra) for fold in range(folds)]


def share_size(fraction: float, count: int) -> int:
    """Returns how many of a class's images a share of them is, at least one on both sides."""
    return min(max(1, round(fraction * count)), count - 1)


def check_counts(
    counts: Sequence[int] | Indices,
    least: int,
    names: Sequence[str],
    *,
    key: str,
    unit: str = "image",
) -> None:
    """Checks that every class has enough images for a split.

    Args:
        counts: Number of images of each class.
        least: The least number.
        names: Class names in the same order.
        key: Key that asks for the split, for the error message.
        unit: Word for what is counted.

    Raises:
        DataError: A class has fewer.
    """
    few = [
        f"{count} of class {name}"
        for count, name in zip(counts, names, strict=True)
        if count < least
    ]
    if few:
        listed = list_first(few, MAX_LISTED_CLASSES)
        raise DataError(f"{key} needs at least {least} {unit}s of every class, found {listed}")


def split_by_position(
    labels: Indices,
    fraction: float,
    *,
    seed: int,
    names: Sequence[str] = (),
    key: str = "dataset.val_split",
) -> tuple[Indices, Indices]:
    """Splits a list of images into two parts with the same proportions of classes.

    The second part gets `round(fraction * n)` of a class of n images; each part gets at least one.
    The raw stream of PCG64 decides which ones. NumPy guarantees that this stream never changes, so
    the split of a seed is the same everywhere.

    Args:
        labels: `[N]`.
        fraction: Share of the second part, in (0, 1).
        seed: Seed of the choice.
        names: Class names for the error message; by default the labels.
        key: Key that asks for the split, for the error message.

    Returns:
        Ascending indices of the first part and of the second.

    Raises:
        DataError: A class has a single image.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    present, counts = np.unique(labels, return_counts=True)
    check_counts(counts, 2, _names_of(present, names), key=key)
    for label in present:
        members = np.flatnonzero(labels == label)
        count = share_size(fraction, len(members))
        held_out[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _names_of(labels: Indices, names: Sequence[str]) -> list[str]:
    return [names[label] if names else str(label) for label in labels]
