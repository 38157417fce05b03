"""Stratified splits of a data set that are the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainable.errors import DataError


def split_by_position(
    labels: NDArray[np.int64], fraction: float, *, seed: int, names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits a list of images into two parts with the same proportions of classes.

    An image's part depends on its position, so the list must never change: those of the built-in
    data sets do not. For images in folders see `SplitRecord`.

    The second part gets `round(fraction * n)` of a class of n images; each part gets at least one.
    The raw stream of PCG64 decides which ones. NumPy guarantees that this stream never changes, so
    the split of a seed is the same everywhere.

    Args:
        labels: `[N]`.
        fraction: Share of the second part, in (0, 1).
        seed: Seed of the choice.
        names: Class names for the error message; by default the labels.

    Returns:
        Ascending indices of the first part and of the second.

    Raises:
        DataError: A class has a single image.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                "dataset.val_split needs at least 2 images of every class, "
                f"found 1 of class {names[label] if names else label}"
            )
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
