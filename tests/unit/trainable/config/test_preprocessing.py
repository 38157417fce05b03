"""Tests of the keys of `dataset` that follow the weights of a model."""

from __future__ import annotations

import pytest

from trainable.config import BuiltinDataset, ImageFolderDataset
from trainable.config.preprocessing import (
    Preprocessing,
    complete_preprocessing,
    null_keys,
    with_preprocessing,
)

CLIP = Preprocessing((0.48, 0.46, 0.41), (0.27, 0.26, 0.28), "bicubic", 0.9, 224)


def test_an_image_folder_has_todays_values_without_weights() -> None:
    used = with_preprocessing(ImageFolderDataset(name="image_folder"), 3)
    assert (used.image_size, used.interpolation, used.crop_share) == (64, "bilinear", 0.875)
    assert used.mean == (0.485, 0.456, 0.406)
    assert null_keys(used) == []


def test_keys_that_are_null_follow_the_weights_and_others_stay() -> None:
    dataset = ImageFolderDataset(name="image_folder", image_size=96, std=(1.0, 1.0, 1.0))
    used = with_preprocessing(dataset, 3, CLIP)
    assert (used.image_size, used.interpolation, used.crop_share) == (96, "bicubic", 0.9)
    assert (used.mean, used.std) == (CLIP.mean, (1.0, 1.0, 1.0))


def test_other_data_sets_follow_mean_and_std_only() -> None:
    digits = BuiltinDataset(name="digits")
    assert with_preprocessing(digits, 1) == digits
    used = with_preprocessing(digits, 1, CLIP)
    assert used.mean == (pytest.approx(0.45),)
    assert used.std == (pytest.approx(0.27),)


def test_the_complete_preprocessing_has_the_sizes_of_a_folder() -> None:
    dataset = ImageFolderDataset(name="image_folder", image_size=32)
    assert complete_preprocessing(dataset, 3).image_size == 32
