"""Crops of both kinds against torchvision on Pillow's images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from trainable.data.cached.resampling import crop_batch, crop_image, resize_weights

FILTERS = ("bilinear", "bicubic", "nearest")
BOXES = [[0, 0, 24, 32], [3, 5, 20, 9], [10, 1, 12, 30], [7, 8, 1, 1], [0, 20, 24, 12]]
LEVELS = {"bilinear": 1, "bicubic": 2, "nearest": 0}
"""Largest difference of a value from Pillow's; torch's kernels round the weights of a filter."""


@pytest.fixture
def pixels():
    """Smooth pictures, as photographs are."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (len(BOXES), 4, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(x).resize((32, 24))) for x in coarse])


def theirs(image, box, size, interpolation):
    picture = functional.resized_crop(
        Image.fromarray(image), *box, [size, size], InterpolationMode(interpolation)
    )
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("size", [8, 16, 41])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_an_image_is_cropped_as_torchvision_does_it(pixels, size, interpolation):
    for image, box in zip(pixels, BOXES, strict=True):
        result = crop_image(image, box, size, interpolation).transpose(1, 2, 0).astype(int)
        difference = abs(result - theirs(image, box, size, interpolation))
        assert difference.max() <= LEVELS[interpolation]


@pytest.mark.parametrize("size", [8, 16, 41])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_batch_is_cropped_as_torchvision_does_it(pixels, size, interpolation):
    mirrored = torch.arange(len(BOXES)) % 2 == 1
    batch = torch.from_numpy(pixels)
    results = crop_batch(batch, torch.tensor(BOXES), mirrored, size, interpolation)
    assert results.shape == (len(BOXES), size, size, 3)
    for number, box in enumerate(BOXES):
        expected = theirs(pixels[number], box, size, interpolation)
        if mirrored[number]:
            expected = expected[:, ::-1]
        difference = abs(results[number].numpy().astype(int) - expected)
        assert difference.max() <= min(1, LEVELS[interpolation])


@pytest.mark.parametrize("interpolation", FILTERS)
def test_weights_are_shares_of_the_pixels_of_the_part(interpolation):
    weights = resize_weights(torch.tensor([3, 0]), torch.tensor([5, 12]), 12, 7, interpolation)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 7))
    assert weights[0, :, :3].abs().sum() == 0
    assert weights[0, :, 8:].abs().sum() == 0


def test_a_part_of_the_final_size_is_taken_as_it_is(pixels):
    result = crop_image(pixels[0], [2, 3, 8, 8], 8, "bilinear")
    assert (result.transpose(1, 2, 0) == pixels[0, 2:10, 3:11]).all()
