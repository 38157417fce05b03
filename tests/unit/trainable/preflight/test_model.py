"""Own models that cannot be trained are refused in words; good ones are left alone."""

from collections.abc import Callable

import pytest
import torch

from trainable.config import TrainConfig
from trainable.preflight.model import check_model
from trainable.preflight.shapes import known_shape

MakeConfig = Callable[..., TrainConfig]


def rules(config: TrainConfig) -> list[str]:
    shape = known_shape(config)
    assert shape is not None
    reported = check_model(config, shape)
    assert {problem.key for problem in reported} <= {"model.name"}
    return [problem.rule for problem in reported]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "returns_tuple",
            "must return logits [B, 10], found tuple of Tensor [2, 10], Tensor [2, 10] in eval",
        ),
        ("returns_dict", "must return logits [B, 10], found dict with the keys logits"),
        ("returns_tuple_in_training", "found tuple of Tensor [2, 10], NoneType in training"),
        ("without_gradient", "that depend on its parameters, found a tensor without gradient"),
        ("too_wide", "must return logits [B, 10], found [2, 13] for 2 images"),
        ("large", "must return logits [B, 10], found [2, 11] for 2 images"),
        ("frozen", "must have parameters that can be trained; all of its parameters are frozen"),
        ("lazy", "size is not known before the first batch (LazyLinear): give them their size"),
        (
            "several_lines",
            "ValueError: first line ... last line (wrong_models.py:",
        ),
        ("exits", "cannot be run on images [B, 1, 8, 8]: SystemExit: 3 (wrong_models.py:"),
        ("no_such_model", 'has no callable "no_such_model"'),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(
    name: str, text: str, tiny_config: MakeConfig
) -> None:
    (rule,) = rules(tiny_config(model={"name": f"tests.support.wrong_models:{name}"}))
    assert text in rule


@pytest.mark.parametrize(
    "name",
    [
        "tiny_models:mlp",
        "tiny_models:dropout_cnn",
        "drawing_models:noisy",
        "wrong_models:needs_gpu",
        "wrong_models:reads_values",
    ],
)
def test_a_model_that_may_train_is_not_refused(name: str, tiny_config: MakeConfig) -> None:
    assert rules(tiny_config(model={"name": name})) == []


def test_a_model_that_takes_only_some_keywords_is_told_which(tiny_config: MakeConfig) -> None:
    (rule,) = rules(tiny_config(model={"name": "torchvision.models:resnet18"}))
    assert "must take the keywords num_classes and in_channels" in rule
    assert "unexpected keyword argument 'in_channels'" in rule
    assert "def model(num_classes, in_channels)" in rule


def test_a_batch_of_one_image_needs_a_model_without_batch_norm_at_its_end(
    tiny_config: MakeConfig,
) -> None:
    single = {"batch_size": 1}
    config = tiny_config(model={"name": "wrong_models:normalised"}, training=single)
    (rule,) = rules(config)
    assert "cannot train on a batch of one image: Expected more than 1 value" in rule
    assert rules(tiny_config(model={"name": "wrong_models:normalised"})) == []
    assert rules(tiny_config(training=single)) == []


def test_of_a_large_model_only_shapes_are_computed(tiny_config: MakeConfig) -> None:
    config = tiny_config(model={"name": "wrong_models:huge"})
    assert rules(config) == []


def test_random_numbers_are_left_alone(tiny_config: MakeConfig) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert rules(tiny_config(model={"name": "wrong_models:draws"})) == []
    assert torch.equal(torch.rand(2), expected)


def test_a_model_that_cannot_be_copied_is_refused_with_averaged_weights(
    tiny_config: MakeConfig,
) -> None:
    model = {"name": "wrong_models:uncopyable"}
    assert rules(tiny_config(model=model)) == []
    (rule,) = rules(tiny_config(model=model, ema={"enabled": True}))
    assert "cannot be copied, which ema.enabled needs: RuntimeError" in rule
