"""Classes, channels, class weights and batch sizes that do not fit data of a known shape."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainable.config import MODEL_NAMES, TrainConfig
from trainable.models import get_model
from trainable.preflight.shapes import IMAGE_SIDES, REDUCTIONS, check_shapes, known_shape

MakeConfig = Callable[..., TrainConfig]


def problems(config: TrainConfig) -> dict[str, str]:
    shape = known_shape(config)
    assert shape is not None
    return {problem.key: problem.rule for problem in check_shapes(config, shape)}


@pytest.mark.parametrize(
    ("sections", "key", "rule"),
    [
        ({"model": {"num_classes": 4}}, "model.num_classes", "must be at least the data's 10"),
        (
            {"model": {"name": "resnet20", "in_channels": 3}},
            "model.in_channels",
            "must be the data's 1, found 3",
        ),
        (
            {"loss": {"name": "cross_entropy", "weight": [1, 2]}},
            "loss.weight",
            "must have one value per class (10), found 2",
        ),
        (
            {"loss": {"name": "bce_with_logits", "pos_weight": [1.0] * 9}},
            "loss.pos_weight",
            "must have one value per class (10), found 9",
        ),
        (
            {"model": {"name": "vgg11"}, "training": {"batch_size": 1}},
            "training.batch_size",
            "must be at least 2, found 1: vgg11 leaves one pixel of a 8x8 image",
        ),
        (
            {"dataset": {"name": "synthetic", "num_train": 15}},
            "dataset.num_train",
            "must be at least 20 with dataset.val_split",
        ),
        (
            {"dataset": {"name": "synthetic", "num_train": 49, "val_split": None, "folds": 5}},
            "dataset.num_train",
            "must be at least 50 with dataset.folds, 5 images of every class, found 49",
        ),
    ],
)
def test_a_value_that_does_not_fit_the_data_is_refused(
    sections: dict[str, Any], key: str, rule: str, tiny_config: MakeConfig
) -> None:
    reported = problems(tiny_config(**sections))
    assert list(reported) == [key]
    assert reported[key].startswith(rule)


def test_more_classes_than_the_data_have_are_allowed(tiny_config: MakeConfig) -> None:
    assert problems(tiny_config(model={"num_classes": 12})) == {}


@pytest.mark.parametrize("name", ["cnv", "mobilenetv1", "resnet18", "resnet20", "vgg11"])
def test_batch_norm_fails_on_one_image_exactly_where_the_table_says_so(
    name: str, tiny_config: MakeConfig
) -> None:
    """The left-out models are deeper ones of the same families."""
    sides = (1, 4, 8, 9, 16, 17, 32, 33)
    configs = {
        side: tiny_config(
            model={"name": name},
            training={"batch_size": 1},
            dataset={"name": "synthetic", "shape": [1, side, side], "val_split": None},
        )
        for side in sides
    }
    with torch.device("meta"):
        model = get_model(configs[32])
    for side, config in configs.items():
        try:
            model(torch.zeros(1, 1, side, side, device="meta"))
            trains = True
        except ValueError:
            trains = False
        assert ("training.batch_size" not in problems(config)) == trains, side


def test_every_built_in_model_and_data_set_is_in_the_tables() -> None:
    assert REDUCTIONS.keys() | {"cnv"} == set(MODEL_NAMES)
    assert IMAGE_SIDES.keys() == {"cifar10", "cifar100", "digits", "fashion_mnist", "mnist"}
