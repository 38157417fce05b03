"""Whole batches are changed with a draw for each image, a function of seed and batch."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from trainable.augment.on_device import DeviceAugmentation
from trainable.config import AugmentConfig

PARTS = {
    "crop": {"crop": {"min_scale": 0.3}},
    "horizontal_flip": {"horizontal_flip": 0.5},
    "vertical_flip": {"vertical_flip": 0.5},
    "rotation": {"rotation": 30},
    "color_jitter": {"color_jitter": {"brightness": 0.4, "contrast": 0.4}},
    "blur": {"blur": {"probability": 1.0}},
    "randaugment": {"randaugment": {"magnitude": 9}},
    "trivialaugment": {"trivialaugment": True},
    "autoaugment": {"autoaugment": "cifar10"},
}
COLOURED = {
    "saturation_and_hue": {"color_jitter": {"saturation": 0.4, "hue": 0.1}},
    "grayscale": {"grayscale": 0.5},
}
TWO_RESULTS = {"horizontal_flip", "vertical_flip", "grayscale"}


def change(pixels, augment, seed=7, number=0):
    _, height, width, channels = pixels.shape
    config = AugmentConfig.model_validate(augment)
    return DeviceAugmentation(config, (channels, height, width))(pixels, seed, number)


def equal_images(channels=3, count=32, size=8):
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(256, (size, size, channels), generator=generator).to(torch.uint8)
    return image.repeat(count, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("part", [*PARTS, *COLOURED])
def test_equal_images_of_a_batch_become_different(part, channels):
    if channels == 1 and part in COLOURED:
        pytest.skip("refused in the config")
    augment, pixels = {**PARTS, **COLOURED}[part], equal_images(channels)
    before = torch.get_rng_state()
    changed = change(pixels, augment)
    assert torch.equal(torch.get_rng_state(), before)
    assert changed.shape == pixels.shape
    assert changed.min() >= 0
    assert changed.max() <= 255.001
    results = len({image.numpy().tobytes() for image in changed})
    assert results == 2 if part in TWO_RESULTS else results > 8
    assert torch.equal(change(pixels, augment), changed)
    assert not torch.equal(change(pixels, augment, number=1), changed)
    assert not torch.equal(change(pixels, augment, seed=8), changed)


def test_all_parts_together_depend_on_seed_and_batch_alone():
    everything = {key: value for part in PARTS.values() for key, value in part.items()}
    del everything["trivialaugment"], everything["autoaugment"]
    pixels = equal_images()
    first = change(pixels, everything)
    torch.manual_seed(123)
    np.random.seed(5)
    assert torch.equal(change(pixels, everything), first)


@pytest.mark.parametrize("part", ["brightness", "contrast", "saturation", "hue"])
def test_a_larger_jitter_is_a_stronger_change_on_average(part):
    pixels = equal_images(size=16)
    spreads = [0.0, 0.1, 0.2, 0.4]
    changes = [
        (change(pixels, {"color_jitter": {part: spread}}) - pixels.float()).abs().mean().item()
        for spread in spreads
    ]
    assert changes[0] < 1e-3
    assert changes == sorted(changes)


def test_jitter_multiplies_as_torchvisions_does():
    pixels = equal_images(count=1)
    changed = change(pixels, {"color_jitter": {"brightness": 0.5}})[0].permute(2, 0, 1) / 255
    image = pixels[0].permute(2, 0, 1) / 255
    darkest = image[image > 0.01].min()
    factor = float(changed[image == darkest][0] / darkest)
    assert 0.5 <= factor <= 1.5
    assert torch.allclose(functional.adjust_brightness(image, factor), changed, atol=1e-4)


def test_a_share_of_the_images_is_left_as_it_is():
    pixels = equal_images(count=200)
    jitter = {"brightness": 0.5, "hue": 0.2, "probability": 0.25}
    changed = change(pixels, {"color_jitter": jitter})
    same = torch.isclose(changed, pixels.float(), atol=1e-3).flatten(1).all(1).float().mean()
    assert 0.6 < float(same) < 0.9
