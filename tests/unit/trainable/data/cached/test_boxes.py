"""Boxes of crops against torchvision's own draws."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from trainable.data.cached.boxes import (
    TRIES,
    CropRange,
    draw_boxes,
    draw_crops,
    middle_boxes,
    scale_boxes,
    whole_boxes,
)

SIZES = np.array([[40, 60], [60, 40], [64, 64], [8, 300], [300, 8], [1, 1], [500, 375]])


def theirs(height: int, width: int, crop: CropRange, draws: np.ndarray, monkeypatch) -> list[int]:
    """Returns torchvision's box for given uniform draws, which it reads in the order it draws."""
    transform = v2.RandomResizedCrop(
        8, (crop.min_scale, 1.0), (1 / crop.max_ratio, crop.max_ratio)
    )
    values = iter([v for pair in zip(draws[:TRIES], draws[TRIES:-2], strict=True) for v in pair])
    places = iter(draws[-2:])

    def uniform(tensor: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return tensor.double().fill_(low + (high - low) * next(values))

    def randint(low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([low + int(next(places) * (high - low))])

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", uniform)
        patch.setattr(torch, "randint", randint)
        box = transform.make_params([torch.zeros(3, height, width)])
    return [box[name] for name in ("top", "left", "height", "width")]


@pytest.mark.parametrize("crop", [CropRange(), CropRange(0.35, 1.0), CropRange(1.0, 2.0)])
def test_boxes_are_those_of_torchvision_for_the_same_draws(crop, monkeypatch):
    sizes = SIZES.repeat(20, axis=0)
    draws = np.random.default_rng(0).random((len(sizes), 2 * TRIES + 2))
    boxes = draw_boxes(sizes, crop, draws)
    expected = [
        theirs(height, width, crop, row, monkeypatch)
        for (height, width), row in zip(sizes.tolist(), draws, strict=True)
    ]
    assert boxes.tolist() == expected


def test_both_ways_of_taking_a_box_occur():
    draws = np.random.default_rng(0).random((len(SIZES), 2 * TRIES + 2))
    is_middle = (draw_boxes(SIZES, CropRange(), draws) == middle_boxes(SIZES, CropRange())).all(1)
    assert is_middle.tolist() == [False, False, False, True, True, True, False]


def test_draws_depend_on_the_seed_and_the_number_alone():
    few = draw_crops(SIZES[:4], seed=3, crop=CropRange(), flips=0.5)
    many = draw_crops(SIZES, seed=3, crop=CropRange(), flips=0.5, repeats=2)
    other = draw_crops(SIZES, seed=4, crop=CropRange(), flips=0.5)
    assert (many.boxes[:4] == few.boxes).all()
    assert (many.mirrored[:4] == few.mirrored).all()
    assert not (many.boxes[:7] == many.boxes[7:]).all()
    assert not (many.boxes[:7] == other.boxes).all()


def test_flips_are_as_frequent_as_asked_and_do_not_move_the_boxes():
    sizes = SIZES.repeat(500, axis=0)
    often, never = (draw_crops(sizes, seed=1, crop=None, flips=p) for p in (0.25, 0.0))
    assert 0.22 < often.mirrored.mean() < 0.28
    assert not never.mirrored.any()
    assert (often.boxes == whole_boxes(sizes)).all()
    crops = [draw_crops(SIZES, seed=1, crop=CropRange(), flips=p).boxes for p in (0.25, 1.0)]
    assert (crops[0] == crops[1]).all()


def test_the_same_draws_on_every_machine():
    crops = draw_crops(SIZES[:4], seed=42, crop=CropRange(), flips=0.5)
    assert crops.boxes.tolist() == [
        [4, 11, 32, 33],
        [25, 4, 15, 17],
        [9, 5, 39, 39],
        [0, 144, 8, 11],
    ]


def test_boxes_are_scaled_to_the_stored_image_and_stay_within_it():
    boxes = np.array([[0, 0, 100, 200], [50, 100, 50, 100], [99, 199, 1, 1], [10, 10, 1, 1]])
    sizes = np.array([[100, 200]] * 4)
    assert scale_boxes(boxes, sizes, np.full((4, 2), 64)).tolist() == [
        [0, 0, 64, 64],
        [32, 32, 32, 32],
        [63, 63, 1, 1],
        [6, 3, 1, 1],
    ]
    assert (scale_boxes(boxes, sizes, sizes) == boxes).all()
