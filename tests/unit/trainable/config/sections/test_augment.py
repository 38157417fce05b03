"""The rules of the `augment` section, reported by key."""

from typing import Any

import pytest

from trainable.config import AugmentConfig, parse_config
from trainable.config.override import override
from trainable.errors import ConfigError


def config(augment: Any, **dataset: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "cifar10", **dataset},
        "augment": augment,
        "model": {"name": "resnet20"},
        "training": {"epochs": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }


def problems(augment: Any, **dataset: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as error:
        parse_config(config(augment, **dataset))
    return [(problem.key, problem.rule) for problem in error.value.problems]


@pytest.mark.parametrize("augment", [None, {}, {"crop": None, "mixup": None, "rotation": None}])
def test_the_default_is_no_augmentation(augment: Any) -> None:
    section = parse_config(config(augment)).augment
    assert section == AugmentConfig()
    assert not section.changes_pixels
    assert not section.mixes


def test_only_one_of_the_policies_can_be_set() -> None:
    rule = (
        "at most one of randaugment, trivialaugment and autoaugment can be set, found "
        "randaugment and autoaugment"
    )
    assert problems({"randaugment": {}, "autoaugment": "svhn"}) == [("augment", rule)]
    assert parse_config(config({"randaugment": {}, "trivialaugment": False})).augment.randaugment


@pytest.mark.parametrize(
    ("augment", "key"),
    [
        ({"grayscale": 0.1}, "augment.grayscale"),
        ({"color_jitter": {"saturation": 0.1}}, "augment.color_jitter.saturation"),
        ({"color_jitter": {"hue": 0.1}}, "augment.color_jitter.hue"),
    ],
)
def test_colours_of_grey_images_cannot_be_changed(augment: Any, key: str) -> None:
    for name in ("digits", "mnist", "fashion_mnist"):
        rule = f"needs colour images; those of {name} have 1 channel"
        assert problems(augment, name=name) == [(key, rule)]
    (_, rule), *_ = problems(augment, name="synthetic", shape=[1, 8, 8])
    assert rule == "needs colour images; those of synthetic have 1 channel"
    assert parse_config(config(augment))


def test_images_with_other_channels_take_no_colours_and_policies() -> None:
    shape = {"name": "synthetic", "shape": [4, 8, 8]}
    rule = "needs colour images; those of synthetic have 4 channels"
    for augment, key in (
        ({"trivialaugment": True}, "augment.trivialaugment"),
        ({"color_jitter": {"brightness": 0.1}}, "augment.color_jitter"),
    ):
        assert problems(augment, **shape) == [(key, rule)]
    assert parse_config(config({"crop": {}, "blur": {}, "erasing": {}, "cutmix": {}}, **shape))


@pytest.mark.parametrize(
    ("augment", "problem"),
    [
        ({"randaugment": {"magnitude": 31}}, ("randaugment.magnitude", "must be <= 30, found 31")),
        ({"mixup": {"alpha": 0}}, ("mixup.alpha", "must be > 0, found 0")),
        (
            {"erasing": {"min_area": 0.5, "max_area": 0.4}},
            ("erasing.min_area", "must be at most max_area (0.4), found 0.5"),
        ),
        (
            {"crop": {"scale": [0.1, 1]}},
            (
                "crop.scale",
                "unknown key; the smallest share of the area is min_scale, the largest is 1",
            ),
        ),
    ],
    ids=["magnitude", "alpha", "areas", "scale"],
)
def test_a_wrong_value_is_reported_by_its_key(augment: Any, problem: tuple[str, str]) -> None:
    assert problems(augment) == [(f"augment.{problem[0]}", problem[1])]


def test_a_sampled_key_switches_a_part_on_and_null_switches_it_off() -> None:
    values = {"augment.randaugment.magnitude": 4.5, "augment.mixup": None}
    trial = parse_config(override(config({"mixup": {}}), values)).augment
    assert trial.randaugment is not None
    assert (trial.randaugment.operations, trial.randaugment.magnitude) == (2, 4.5)
    assert trial.mixup is None


@pytest.mark.parametrize(
    ("augment", "changes"),
    [
        ({"horizontal_flip": 0.0}, True),
        ({"rotation": 1}, True),
        ({"erasing": {}, "mixup": {}, "cutmix": {}}, False),
    ],
)
def test_which_parts_change_single_images(augment: Any, changes: bool) -> None:
    assert AugmentConfig.model_validate(augment).changes_pixels == changes
