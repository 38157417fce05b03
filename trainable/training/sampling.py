"""Draws the images of a training pass, for `training.sampler: balanced`."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_balanced(labels: Tensor, *, seed: int) -> list[int]:
    """Draws as many images as there are, with replacement, each class with the same probability.

    Args:
        labels: The class of every training image `[N]` int64, on the CPU.
        seed: Seed of the pass; the draws are a function of it and of the labels.

    Returns:
        Numbers of images, of which some occur several times and others not at all.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(labels)
    classes = counts.nonzero().flatten()
    by_class = labels.argsort(stable=True)
    first = counts.cumsum(0) - counts
    drawn_classes = classes[torch.randint(len(classes), labels.shape, generator=generator)]
    shares = torch.rand(labels.shape, generator=generator, dtype=torch.float64)
    within = (shares * counts[drawn_classes]).long()
    order: list[int] = by_class[first[drawn_classes] + within].tolist()
    return order
