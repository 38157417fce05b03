"""Crops of whole passes: both kinds of resampling agree, and batches follow the draws."""

import numpy as np
import torch

from trainable.data.cached.cropping import Cropper, flip_batches


def draw(count):
    rng = np.random.default_rng(0)
    start, end = np.sort(rng.integers(0, 25, (2, count, 2)), axis=0)
    boxes = np.concatenate([np.minimum(start, 23), np.maximum(end - start, 1)], axis=1)
    return boxes, rng.random(count) < 0.5


def test_batches_and_single_images_are_cropped_alike():
    count = 35
    pixels = torch.from_numpy(np.random.default_rng(1).integers(256, size=(count, 24, 24, 3)))
    batches = list(pixels.to(torch.uint8).split(16))
    boxes, mirrored = draw(count)
    cropper = Cropper(16, "bilinear", torch.device("cpu"))
    one_by_one = torch.cat(list(cropper.crop(batches, boxes, mirrored)))
    at_once = torch.cat(list(cropper.crop_at_once(batches, boxes, mirrored)))
    assert one_by_one.shape == at_once.shape == (count, 16, 16, 3)
    assert (one_by_one.int() - at_once.int()).abs().max() <= 1


def test_some_images_of_every_batch_are_flipped():
    pixels = torch.arange(5 * 2 * 3 * 1, dtype=torch.uint8).view(5, 2, 3, 1)
    mirrored = np.array([False, True, True, False, True])
    flipped = torch.cat(list(flip_batches([x.clone() for x in pixels.split(2)], mirrored)))
    for number, is_mirrored in enumerate(mirrored):
        expected = pixels[number].flip(1) if is_mirrored else pixels[number]
        assert torch.equal(flipped[number], expected)
