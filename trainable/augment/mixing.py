"""Changes whole batches after normalisation: erases rectangles, mixes pairs of images.

Image i of a batch of B is mixed with image B - 1 - i, as timm's `Mixup(mode="pair")` does. The
middle image of an odd batch stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own spelling)
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.augment.streams import Stream, rng_of, torch_seeded_by
from trainable.config import AugmentConfig
from trainable.config.sections.augment import CutmixAugment, ErasingAugment, MixupAugment

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images `[B, C, H, W]` float32 and labels `[B]` int64, on one device."""


@dataclass(frozen=True)
class Mix:
    """How the images of a batch are mixed with their partners."""

    shares: NDArray[np.float32]
    """`[B]`: share of the image itself in its label."""
    boxes: NDArray[np.int64]
    """`[B, 4]`: top, bottom, left and right of the rectangle that is the partner's; empty where
    the whole image is averaged."""


def augment_batches(
    batches: Batches, augment: AugmentConfig, num_classes: int, *, seed: int, epoch: int
) -> Batches:
    """Returns the batches of a pass with erased and mixed images.

    Args:
        batches: The batches, normalised.
        augment: The config's `augment` section.
        num_classes: Number of classes.
        seed: Seed of the pass.
        epoch: Number of the epoch, which ends `mixup` and `cutmix`.

    Returns:
        The batches themselves if nothing is to be done. Labels are soft targets `[B, num_classes]`
        float32 in every epoch if `mixup` or `cutmix` is set.
    """
    erasing = augment.erasing if augment.erasing and augment.erasing.probability else None
    if erasing is None and not augment.mixes:
        return batches
    return _augment(batches, augment, erasing, num_classes, (seed, epoch))


def _augment(
    batches: Batches,
    augment: AugmentConfig,
    erasing: ErasingAugment | None,
    num_classes: int,
    seed_and_epoch: tuple[int, int],
) -> Iterator[tuple[Tensor, Tensor]]:
    seed, epoch = seed_and_epoch
    eraser = None if erasing is None else build_eraser(erasing)
    for number, (images, labels) in enumerate(batches):
        if eraser is not None:
            with torch_seeded_by(rng_of(seed, Stream.ERASING, number)):
                images = eraser(images)
        if augment.mixes:
            rng = rng_of(seed, Stream.MIXING, number)
            mix = draw_mix(augment, epoch, images.shape, rng)
            images, labels = apply_mix(images, labels, mix, num_classes)
        yield images, labels


def build_eraser(erasing: ErasingAugment) -> nn.Module:
    """Returns a module that sets a rectangle of some images to 0; it draws from torch's generator.

    After normalisation, 0 is the mean of a channel.
    """
    from kornia.augmentation import RandomErasing  # takes half a second to import

    eraser: nn.Module = RandomErasing(
        p=erasing.probability,
        scale=(erasing.min_area, erasing.max_area),
        ratio=(1 / erasing.max_ratio, erasing.max_ratio),
        value=0.0,
    )
    return eraser


def draw_mix(
    augment: AugmentConfig, epoch: int, shape: torch.Size, rng: np.random.Generator
) -> Mix:
    """Draws how the pairs of a batch are mixed.

    Args:
        augment: The config's `augment` section.
        epoch: Number of the epoch.
        shape: `[B, C, H, W]`.
        rng: Draws the pairs, shares and rectangles.
    """
    count, _, height, width = shape
    pairs = count // 2
    by_mixup, shares = _draw_shares(augment.mixup, epoch, pairs, rng)
    by_cutmix, areas = _draw_shares(augment.cutmix, epoch, pairs, rng)
    both = by_mixup & by_cutmix
    by_cutmix &= ~both | (rng.random(pairs) < 0.5)
    boxes = np.where(by_cutmix[:, None], _draw_boxes(areas, height, width, rng), 0)
    kept = 1 - (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]) / (height * width)
    shares = np.where(by_cutmix, kept, np.where(by_mixup, shares, 1.0))
    middle = np.ones(count % 2), np.zeros((count % 2, 4), dtype=np.int64)
    return Mix(
        np.concatenate([shares, middle[0], shares[::-1]]).astype(np.float32),
        np.concatenate([boxes, middle[1], boxes[::-1]]),
    )


def apply_mix(images: Tensor, labels: Tensor, mix: Mix, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mixes the images of a batch with their partners.

    Args:
        images: `[B, C, H, W]` float32.
        labels: `[B]` int64.
        mix: How.
        num_classes: Number of classes.

    Returns:
        The images, and soft targets `[B, num_classes]` float32.
    """
    shares = torch.from_numpy(mix.shares).to(images.device, non_blocking=True)
    targets = F.one_hot(labels, num_classes).float()
    targets = targets * shares[:, None] + targets.flip(0) * (1 - shares[:, None])
    has_box = mix.boxes.any(1)
    partners = images.flip(0)
    if not has_box.all():
        own = torch.from_numpy(np.where(has_box, np.float32(1), mix.shares))
        own = own.to(images.device, non_blocking=True)[:, None, None, None]
        images = images * own + partners * (1 - own)
    if has_box.any():
        boxes = torch.from_numpy(mix.boxes).to(images.device, non_blocking=True)
        images = torch.where(_mask_of(boxes, images.shape), partners, images)
    return images, targets


def _draw_shares(
    mix: MixupAugment | CutmixAugment | None, epoch: int, pairs: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draws which pairs are mixed, and the share that stays of each."""
    chances = rng.random(pairs)
    is_over = mix is None or (mix.off_epoch is not None and epoch >= mix.off_epoch)
    if mix is None or is_over:
        return np.zeros(pairs, dtype=bool), np.ones(pairs)
    return chances < mix.probability, rng.beta(mix.alpha, mix.alpha, pairs)


def _draw_boxes(
    areas: NDArray[np.float64], height: int, width: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draws a rectangle for each pair, round a centre in the image and cut off at its border.

    Args:
        areas: `[pairs]`: share of the image that stays.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        rng: Draws the centres.
    """
    edges = []
    for side in (height, width):
        lengths = (side * np.sqrt(1 - areas)).astype(np.int64)
        centres = rng.integers(side, size=len(areas))
        edges += [centres - lengths // 2, centres + (lengths + 1) // 2]
    limits = [height, height, width, width]
    return np.stack([e.clip(0, limit) for e, limit in zip(edges, limits, strict=True)], axis=1)


def _mask_of(boxes: Tensor, shape: torch.Size) -> Tensor:
    """Returns `[B, 1, H, W]`, true inside the boxes."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    rows = torch.arange(shape[2], device=boxes.device)
    columns = torch.arange(shape[3], device=boxes.device)
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
