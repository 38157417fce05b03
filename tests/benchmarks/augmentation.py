"""A1: augmentation of whole batches by torchvision's transforms of one image after the other.

CPU seconds of one thread for 512 images, uint8 in and uint8 or float out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from tests.benchmarks.sides import Figure, compare
from trainable.augment.mixing import augment_batches
from trainable.augment.on_device import DeviceAugmentation
from trainable.config import AugmentConfig

BATCH, CLASSES = 128, 10

Transform = Callable[[Tensor], Tensor]
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}


def parts(size: int) -> dict[str, tuple[dict[str, Any], Transform | None]]:
    """Returns what is measured: the config's keys, and torchvision's transform of one image.

    Those without a transform change a whole batch in torchvision as well.
    """
    kernel = min(9, size - 1)
    return {
        "crop": ({"crop": {"min_scale": 0.35}}, v2.RandomResizedCrop(size, (0.35, 1))),
        "horizontal flip": ({"horizontal_flip": 0.5}, v2.RandomHorizontalFlip()),
        "rotation": (
            {"rotation": 15},
            v2.RandomRotation(15, v2.InterpolationMode.BILINEAR),
        ),
        "jitter without hue": ({"color_jitter": JITTER}, v2.ColorJitter(0.4, 0.4, 0.4)),
        "jitter with hue": (
            {"color_jitter": {**JITTER, "hue": 0.1}},
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        ),
        "grayscale": ({"grayscale": 0.2}, v2.RandomGrayscale(0.2)),
        "blur": (
            {"blur": {"probability": 1.0}},
            v2.GaussianBlur(kernel, (0.1, 2.0)),
        ),
        "randaugment": ({"randaugment": {}}, v2.RandAugment()),
        "trivialaugment": ({"trivialaugment": True}, v2.TrivialAugmentWide()),
        "autoaugment": ({"autoaugment": "cifar10"}, v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
        "erasing": ({"erasing": {}}, v2.RandomErasing(0.25)),
        "mixup": ({"mixup": {}}, None),
        "cutmix": ({"cutmix": {}}, None),
    }


def a1(sizes: Sequence[int] = (32, 96), images: int = 512, rounds: int = 5) -> list[Figure]:
    """CPU milliseconds an image; the ratio is theirs by ours.

    Args:
        sizes: Height and width of the images.
        images: Images of a measurement.
        rounds: Measurements of each side.
    """
    torch.set_num_threads(1)
    return [
        _compare(f"{name}, {size} px", size, images, rounds, *sides)
        for size in sizes
        for name, sides in parts(size).items()
    ]


def _compare(
    what: str, size: int, images: int, rounds: int, keys: dict[str, Any], theirs: Transform | None
) -> Figure:
    augment = AugmentConfig.model_validate(keys)
    pixels = torch.randint(256, (images, size, size, 3), dtype=torch.uint8)
    labels = torch.arange(images) % CLASSES
    floats = pixels.permute(0, 3, 1, 2).float() / 255
    change = DeviceAugmentation(augment, (3, size, size))
    batched = [(floats[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, images, BATCH)]

    def ours() -> None:
        if augment.changes_pixels:
            for number, part in enumerate(pixels.split(BATCH)):
                change(part, 1, number)
        for _ in augment_batches(batched, augment, CLASSES, seed=1, epoch=1):
            pass

    def other() -> None:
        if theirs is None:
            kind = v2.MixUp if augment.mixup else v2.CutMix
            mix = kind(num_classes=CLASSES)
            for batch in batched:
                mix(*batch)
            return
        for image in floats if augment.erasing else pixels.permute(0, 3, 1, 2):
            theirs(image)

    def milliseconds(work: Callable[[], None]) -> float:
        started = time.process_time()
        work()
        return (time.process_time() - started) * 1000 / images

    return compare(
        "A1",
        what,
        lambda: milliseconds(other),
        lambda: milliseconds(ours),
        goal="(none)",
        unit="ms",
        rounds=rounds,
    )
