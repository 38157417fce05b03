"""Crops and changes of 8-bit images of own data sets."""

import pytest
import torch

from trainable.config import AugmentConfig, OwnDataset
from trainable.data.own.transforms import OwnTransforms

WAVES = (torch.arange(16 * 12 * 5) % 251).to(torch.uint8).view(16, 12, 5)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("augment", [AugmentConfig(), AugmentConfig(rotation=20, vertical_flip=1)])
def test_images_of_any_number_of_channels_keep_it(
    channels: int, size: int | None, augment: AugmentConfig
) -> None:
    pixels = WAVES[..., :channels].contiguous()
    shape = (channels, size or 16, size or 12)
    transforms = OwnTransforms(OwnDataset(name="my:data", image_size=size), shape)
    for changed in (transforms.plain(pixels), transforms.training(augment)(pixels)):
        assert changed.dtype == torch.uint8
        assert changed.shape == (*shape[1:], channels)
    if size is None:
        assert torch.equal(transforms.plain(pixels), pixels)


def test_without_augmentation_a_training_image_is_that_of_an_evaluation() -> None:
    dataset = OwnDataset(name="my:data", image_size=8, augment=False)
    transforms = OwnTransforms(dataset, (3, 8, 8))
    pixels = WAVES[..., :3].contiguous()
    assert torch.equal(transforms.training(None)(pixels), transforms.plain(pixels))
