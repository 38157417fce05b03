"""Files of arrays: images of one colour a class, in every format and layout."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainable.config import ArraysDataset

SIDE = 8


def coloured_images(per_class: int = 8, classes: int = 2, channels: int = 3) -> tuple[Any, Any]:
    """Returns images `[N, 8, 8, C]` uint8 and their labels `[N]`, class after class in turn."""
    rng = np.random.default_rng(per_class)
    labels = np.arange(per_class * classes) % classes
    pixels = rng.integers(0, 90, (len(labels), SIDE, SIDE, channels), dtype=np.uint8)
    for label in range(classes):
        pixels[labels == label, ..., label % channels] += 120
    return pixels, labels


def example_arrays(**others: Any) -> dict[str, Any]:
    """Returns a small data set of two classes; `others` replaces arrays, None leaves one out."""
    x_train, y_train = coloured_images(8)
    x_test, y_test = coloured_images(4)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test, **others}
    return {name: array for name, array in arrays.items() if array is not None}


def write_arrays(file: Path, **arrays: Any) -> Path:
    """Writes a file in the format of its extension; in `.pt`, texts become a list."""
    if file.suffix == ".npz":
        np.savez_compressed(file, **arrays)
        return file
    values = {
        name: array.tolist() if array.dtype.kind in "US" else torch.from_numpy(array.copy())
        for name, array in arrays.items()
    }
    torch.save(values, file)
    return file


def arrays_dataset(root: Path, file: str = "data.npz", **keys: Any) -> ArraysDataset:
    """Returns the section of a file of arrays below the root."""
    return ArraysDataset(name="arrays", root=str(root), file=file, **keys)
