"""RandAugment, TrivialAugment and AutoAugment with a draw for each image.

A policy draws in the CPU's memory which operations an image gets. On a batch, the images with the
same operation and strength are changed together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

from trainable.augment.operations import (
    OPERATIONS,
    SIGNED,
    apply_operation,
    strength_of,
    wide_strength_of,
)
from trainable.config import AugmentConfig

FULL_MAGNITUDE = 30
"""RandAugment's largest magnitude, and the number of steps of TrivialAugment's strength."""
AUTO_STEPS = 9
"""Steps of AutoAugment's strength."""

Operation = tuple[str, float]
"""Name of an operation and its strength."""
Policy = Callable[[np.random.Generator], list[Operation]]
"""Draws the operations of one image."""


def build_policy(augment: AugmentConfig, height: int, width: int) -> Policy | None:
    """Returns the policy of the config; None if it has none.

    Args:
        augment: The config's `augment` section.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
    """
    size = (height, width)
    if augment.randaugment is not None:
        count, magnitude = augment.randaugment.operations, augment.randaugment.magnitude
        return partial(_draw_randaugment, count, magnitude / FULL_MAGNITUDE, size)
    if augment.trivialaugment:
        return partial(_draw_trivialaugment, size)
    if augment.autoaugment is not None:
        # The policies are tables that AutoAugment's authors found; torchvision keeps them.
        data_set = AutoAugmentPolicy[augment.autoaugment.upper()]
        return partial(_draw_autoaugment, AutoAugment(data_set)._policies, size)
    return None


def apply_policy(images: Tensor, policy: Policy, rng: np.random.Generator) -> Tensor:
    """Changes every image of a batch by a draw of its own.

    Args:
        images: `[B, C, H, W]` uint8 with 1 or 3 channels; it is changed.
        policy: The policy.
        rng: Draws the operations, in the order of the images.
    """
    drawn = [policy(rng) for _ in images]
    for step in range(max(map(len, drawn), default=0)):
        groups: dict[Operation, list[int]] = defaultdict(list)
        for number, operations in enumerate(drawn):
            if step < len(operations) and operations[step][0] != "Identity":
                groups[operations[step]].append(number)
        for operation, numbers in groups.items():
            indices = torch.tensor(numbers).to(images.device, non_blocking=True)
            images[indices] = apply_operation(images[indices], *operation)
    return images


def _draw_randaugment(
    count: int, fraction: float, size: tuple[int, int], rng: np.random.Generator
) -> list[Operation]:
    names = [OPERATIONS[number] for number in rng.integers(len(OPERATIONS), size=count)]
    # Signs are drawn for every operation, so that the draws do not depend on the magnitude.
    signs = rng.integers(2, size=count)
    return [
        (name, _with_sign(name, strength_of(name, fraction, _side(name, size)), bool(negative)))
        for name, negative in zip(names, signs, strict=True)
    ]


def _draw_trivialaugment(size: tuple[int, int], rng: np.random.Generator) -> list[Operation]:
    name = OPERATIONS[rng.integers(len(OPERATIONS))]
    fraction = rng.integers(FULL_MAGNITUDE + 1) / FULL_MAGNITUDE
    strength = wide_strength_of(name, float(fraction), _side(name, size))
    return [(name, _with_sign(name, strength, bool(rng.integers(2))))]


def _draw_autoaugment(
    policies: list[tuple[tuple[str, float, int | None], ...]],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> list[Operation]:
    policy = policies[rng.integers(len(policies))]
    draws = rng.random(len(policy)), rng.integers(2, size=len(policy))
    operations = []
    for (name, probability, step), share, negative in zip(policy, *draws, strict=True):
        if share < probability:
            strength = strength_of(name, (step or 0) / AUTO_STEPS, _side(name, size))
            operations.append((name, _with_sign(name, strength, bool(negative))))
    return operations


def _side(name: str, size: tuple[int, int]) -> int:
    return size[0] if name == "TranslateY" else size[1]


def _with_sign(name: str, strength: float, negative: bool) -> float:
    return -strength if negative and name in SIGNED else strength
