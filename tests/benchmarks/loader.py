"""E4: our loader by a plain torchvision DataLoader's, CIFAR shapes, one CPU thread."""

from __future__ import annotations

import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from tests.benchmarks.sides import Figure, compare
from trainable.data.arrays import ImageArrays, LabelledImages
from trainable.data.resident import ResidentSource

IMAGES, BATCH = 10_000, 128
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


class PlainDataset(Dataset):
    """As torchvision's CIFAR10 class does it: one PIL image after the other."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self._pixels, self._labels = pixels, labels
        self._transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), int(self._labels[index])


def cifar_like(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images `[N, 32, 32, 3]` uint8 and labels `[N]` of ten classes."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images, 32, 32, 3), np.uint8), np.arange(images) % 10


def source_of(pixels: np.ndarray, labels: np.ndarray, device: torch.device) -> ResidentSource:
    """Our data source over the same images."""
    split = LabelledImages(pixels, labels)
    arrays = ImageArrays(
        train=split,
        test=split,
        class_names=tuple(map(str, range(10))),
        flips=True,
        crop_padding=4,
        statistics=(MEAN, STD),
    )
    return ResidentSource(arrays, device, augment=True)


def e4() -> Figure:
    """Seconds for one pass; the ratio is images a second, ours by theirs."""
    torch.set_num_threads(1)
    pixels, labels = cifar_like(IMAGES)
    loader = DataLoader(PlainDataset(pixels, labels), batch_size=BATCH, shuffle=True)
    source = source_of(pixels, labels, torch.device("cpu"))

    def plain() -> float:
        started = time.perf_counter()
        for _ in loader:
            pass
        return time.perf_counter() - started

    def ours() -> float:
        started = time.perf_counter()
        for _ in source.train_batches(BATCH, seed=1):
            pass
        return time.perf_counter() - started

    return compare("E4", "loader, a pass over 10,000 images, 1 thread", plain, ours, goal=">= 4")
