"""Data sets of a user's own that read a file of arrays; named `own_digits:pairs`."""

from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset


def pairs(file: str) -> dict[str, Any]:
    """Returns pairs of arrays."""
    with np.load(file) as arrays:
        splits = {name: (arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test")}
        return {**splits, "classes": arrays["classes"].tolist()}


class _Pictures(Dataset[Any]):
    def __init__(self, pixels: Any, labels: Any) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[number]), int(self.labels[number])


def pictures(file: str) -> dict[str, Any]:
    """Returns data sets of Pillow pictures and numbers."""
    values = pairs(file)
    splits = {name: _Pictures(*values[name]) for name in ("train", "test")}
    return {**splits, "classes": values["classes"]}
