"""The table of strengths is torchvision's, and a larger magnitude is a stronger change."""

import pytest
import torch
from torchvision.transforms import v2

from trainable.augment.operations import (
    OPERATIONS,
    SIGNED,
    apply_operation,
    strength_of,
    wide_strength_of,
)

HEIGHT, WIDTH, BINS = 96, 80, 31


def side_of(name: str) -> int:
    return HEIGHT if name == "TranslateY" else WIDTH


@pytest.mark.parametrize(
    ("theirs", "ours", "bins"),
    [
        (v2.RandAugment, strength_of, BINS),
        (v2.TrivialAugmentWide, wide_strength_of, BINS),
        (v2.AutoAugment, strength_of, 10),
    ],
)
def test_strengths_are_those_of_torchvisions_classes(theirs, ours, bins):
    space = theirs._AUGMENTATION_SPACE
    assert {*space} - {"Invert"} <= set(OPERATIONS)
    for name, (magnitudes_of, is_signed) in space.items():
        assert is_signed == (name in SIGNED)
        expected = magnitudes_of(bins, HEIGHT, WIDTH)
        expected = torch.zeros(bins) if expected is None else expected
        strengths = [ours(name, step / (bins - 1), side_of(name)) for step in range(bins)]
        assert strengths == pytest.approx(expected.tolist(), abs=1e-5), name


@pytest.mark.parametrize("name", [*OPERATIONS, "Invert"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_operation_computes_what_torchvisions_class_computes(name, channels):
    images = torch.randint(256, (2, channels, 16, 16), dtype=torch.uint8)
    value = strength_of(name, 0.5, 16)
    expected = v2.RandAugment()._apply_image_or_video_transform(
        images, name, value, v2.InterpolationMode.NEAREST, {type(images): None}
    )
    assert torch.equal(apply_operation(images, name, value), expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_larger_magnitude_is_a_stronger_change(name, sign):
    # A smooth ramp: the further a pixel moves, the more it changes.
    ramp = torch.linspace(20, 235, 64).expand(64, 64)
    image = torch.stack([ramp, ramp.T, (ramp + ramp.T) / 2]).to(torch.uint8)
    if name in ("Sharpness", "Color"):  # these two need detail and colour
        image = torch.randint(256, (3, 64, 64), generator=torch.Generator().manual_seed(0))
        image = image.to(torch.uint8)
    values = [strength_of(name, step / 30, 64) for step in range(0, 31, 2)]
    values = [sign * value if name in SIGNED else value for value in values]
    inner = slice(28, 36)  # not the black corners
    changes = [
        (apply_operation(image, name, value).int() - image)[:, inner, inner].abs().sum().item()
        for value in values
    ]
    if name in ("Identity", "AutoContrast", "Equalize"):
        assert len(set(changes)) == 1
        return
    assert changes[0] == 0
    assert changes[-1] > 0
    assert changes == sorted(changes)


def test_a_translation_of_trivialaugment_leaves_something_of_a_small_image():
    assert wide_strength_of("TranslateX", 1.0, 32) == 32
    assert wide_strength_of("TranslateX", 1.0, 8) == pytest.approx(3.63, abs=0.01)
