"""A few images with which an exported model is compared with the one of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainable.config import TrainConfig, without_cache
from trainable.data.loading import load_data
from trainable.errors import TuneSweepsError
from trainable.inference.description import find_preprocessing
from trainable.training.saved_split import saved_split, without_held_out

SEED = 0


@dataclass(frozen=True)
class SampleImages:
    """A few images, prepared as for an evaluation."""

    pixels: Tensor
    """`[N, C, H, W]` float32."""
    are_real: bool
    """Whether they are of the test set; else they are random numbers."""
    reason: str | None = None
    """Why they are not of the test set."""


def sample_images(
    config: TrainConfig, state: Mapping[str, Any], count: int, *, allow_custom: bool = False
) -> SampleImages:
    """Returns the first images of the test set, or random ones where it cannot be loaded.

    Nothing is downloaded.

    Args:
        config: The config of a checkpoint.
        state: The checkpoint.
        count: Number of images; those of a smaller test set are repeated.
        allow_custom: Whether `dataset.name` may import a callable of the user's.
    """
    # A few files are decoded sooner than all of them.
    dataset = without_cache(config).dataset.model_copy(update={"download": False})
    split = saved_split(dict(state), dataset)
    if split is not None:
        split, dataset = split.of_test_set(), without_held_out(dataset)
    try:
        source = load_data(dataset, torch.device("cpu"), split=split, allow_custom=allow_custom)
        pixels, _ = next(iter(source.eval_batches("test", count)))
    except (TuneSweepsError, OSError) as error:
        return SampleImages(_draw(config, state, count), False, str(error))
    if pixels.shape[1] != (config.model.in_channels or pixels.shape[1]):
        return SampleImages(_draw(config, state, count), False, "the data have other channels")
    repeated = pixels[torch.arange(count) % len(pixels)]
    return SampleImages(repeated.contiguous(), are_real=True)


def _draw(config: TrainConfig, state: Mapping[str, Any], count: int) -> Tensor:
    image = find_preprocessing(config, state)
    channels = config.model.in_channels or image.channels
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn((count, channels, *image.size), generator=generator)
