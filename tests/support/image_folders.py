"""Small image folders: one colour a class, so that a tiny model learns them in an epoch or two."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")


def write_image_folder(
    root: Path, *, train: int = 8, test: int = 4, classes: Sequence[str] = CLASSES, side: int = 8
) -> Path:
    """Writes `root/train/CLASS/0.png`... and `root/test/CLASS/0.png`...; returns the root.

    Args:
        root: The new data set.
        train: Training images of each class.
        test: Test images of each class.
        classes: Class names; the first three have different colours.
        side: Height and width of the images in pixels.
    """
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (side, side, 3), dtype=np.uint8)
                pixels[..., label % 3] += 120
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def touch(folder: Path, *names: str) -> None:
    """Creates empty files and their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
