"""Data sets of a user's own."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

PIXELS = np.random.default_rng(0).integers(256, size=(60, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


class Items(Dataset[Any]):
    """Items that a function makes of their numbers."""

    def __init__(self, make: Callable[[int], Any], count: int = 60) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


def split(make: Callable[[int], Any]) -> dict[str, Any]:
    return {"train": Items(make), "test": Items(make, 30)}


def arrays() -> dict[str, Any]:
    return {"train": (PIXELS, LABELS), "test": (torch.from_numpy(PIXELS[:30]), LABELS[:30])}


def always_same() -> dict[str, Any]:
    return split(lambda n: (PIXELS[n], int(LABELS[n])))


def many() -> dict[str, Any]:
    """More items than are fetched for their labels."""
    train = Items(lambda n: (PIXELS[n % 60], int(LABELS[n % 60])), 10_001)
    return {"train": train, "test": Items(train.make, 30), "classes": ["a", "b", "c"]}


def random_item(number: int) -> tuple[Any, Any]:
    """Draws from all three generators."""
    pixels = PIXELS[number] // 2 + np.random.randint(0, 100, PIXELS[number].shape)
    pixels = pixels.astype(np.uint8)
    if random.random() < 0.5:
        pixels = pixels[::-1]
    if torch.rand(()) < 0.5:
        pixels = pixels[:, ::-1]
    return pixels, torch.tensor(LABELS[number])


def drawing() -> dict[str, Any]:
    return split(random_item)


def drawing_texts() -> dict[str, Any]:
    return split(lambda n: (random_item(n)[0], ("cat", "dog", "emu")[n % 3]))


def sometimes_random() -> dict[str, Any]:
    """One item that is not looked at before draws."""
    return split(lambda n: random_item(n) if n == 8 else (PIXELS[n], int(LABELS[n])))


def pictures() -> dict[str, Any]:
    """Pillow pictures of several sizes, some of them grey."""

    def make(number: int) -> tuple[Image.Image, str]:
        picture = Image.fromarray(np.tile(PIXELS[number], (2, 1 + number % 3, 1)))
        return picture.convert("L" if number % 3 == 1 else "RGB"), f"c{number % 3 * 9}"

    return split(make)


def floats() -> dict[str, Any]:
    return split(lambda n: (torch.rand(3, 8, 8) + float(LABELS[n]), int(LABELS[n])))


class Epochs(Items):
    """Items that show the number of the epoch."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, number: int) -> Any:
        return np.full((8, 8), self.epoch, dtype=np.uint8), number % 2


def epochs() -> tuple[Any, Any]:
    return Epochs(lambda n: n, 20), Epochs(lambda n: n, 10)


def own_generator() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return split(lambda n: (rng.integers(256, size=(8, 8), dtype=np.uint8), n % 2))


def only_train(site: str = "north", *, seed: int = 0, scale: float = 1.0) -> dict[str, Any]:
    return {"train": (PIXELS, LABELS), "classes": [f"{site}{seed}", "b", "c"]}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


WRONG: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "stream": lambda: {"train": Stream(), "test": Stream()},
    "empty": lambda: {"train": Items(lambda n: n, 0), "test": Items(lambda n: n)},
    "one array": lambda: (PIXELS, LABELS),
    "no train": lambda: {"test": (PIXELS, LABELS)},
    "misspelt": lambda: {"train": (PIXELS, LABELS), "tests": (PIXELS, LABELS)},
    "short labels": lambda: {"train": (PIXELS, LABELS[:9])},
    "three values": lambda: split(lambda n: (PIXELS[n], 1, 2)),
    "one-hot": lambda: split(lambda n: (PIXELS[n], np.eye(3)[n % 3])),
    "integers": lambda: split(lambda n: (PIXELS[n].astype(int), 1)),
    "channels last": lambda: split(lambda n: (PIXELS[n] / 255, 1)),
    "nan": lambda: split(lambda n: (torch.full((3, 8, 8), float("nan")), 1)),
    "sizes": lambda: split(lambda n: (PIXELS[n, : 4 + n % 3], n % 2)),
    "late size": lambda: split(lambda n: (PIXELS[n, : 4 + (n == 8)], n % 2)),
    "from one": lambda: split(lambda n: (PIXELS[n], 1 + n % 3)),
    "one class": lambda: split(lambda n: (PIXELS[n], 0)),
    "test label": lambda: {"train": (PIXELS, LABELS), "test": (PIXELS, LABELS + 1)},
    "fails": lambda: split(lambda n: PIXELS[n + 1000]),
    "mixed kinds": lambda: split(lambda n: (PIXELS[n] if n else torch.ones(3, 8, 8), n % 2)),
    "twice": lambda: {"train": (PIXELS, LABELS), "test": (PIXELS, LABELS), "classes": ["a", "a"]},
}


def wrong(kind: str) -> Any:
    return WRONG[kind]()


def broken() -> None:
    raise RuntimeError("no such site")


class DrawingEpochs(Epochs):
    """Random items that also depend on the epoch."""

    def __getitem__(self, number: int) -> Any:
        pixels, label = random_item(number)
        return pixels // 2 + np.uint8(self.epoch), label


def epochs_and_draws() -> tuple[Any, Any]:
    return DrawingEpochs(random_item), DrawingEpochs(random_item, 30)
