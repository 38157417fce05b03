"""An own loss that cannot be minimised is refused in words before a training; good ones pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainable.config import OwnLoss, TrainConfig
from trainable.errors import ConfigError
from trainable.preflight.checks import refuse_failing
from trainable.preflight.loss import check_loss
from trainable.preflight.shapes import known_shape

MakeConfig = Callable[..., TrainConfig]
MIXES = {"mixup": {"alpha": 0.2}}


def rules(config: TrainConfig) -> list[str]:
    shape = known_shape(config)
    assert shape is not None
    assert isinstance(config.loss, OwnLoss)
    reported = check_loss(config, config.loss, shape)
    assert {problem.key for problem in reported} <= {"loss.name"}
    return [problem.rule for problem in reported]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "per_image",
            "must return the mean over the batch, a scalar, found [4] (with logits [4, 10]",
        ),
        (
            "detached",
            "must return a tensor that depends on the logits, found one without gradient",
        ),
        ("endless", "must return a finite number, found inf"),
        ("a_number", "must return a tensor, found float"),
        ("raises", "failed: ValueError: this loss is unfinished (own_losses.py:"),
        ("not_a_loss", "must return the loss, a module or a function of logits and labels"),
        ("trainable_loss", "must have no parameters"),
        ("no_such_loss", 'has no callable "no_such_loss"'),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_refused(
    tiny_config: MakeConfig, name: str, text: str
) -> None:
    (rule,) = rules(tiny_config(loss={"name": f"own_losses:{name}"}))
    assert text in rule


@pytest.mark.parametrize("name", ["Poly1", "labels_only", "noisy"])
def test_a_loss_that_can_is_not(tiny_config: MakeConfig, name: str) -> None:
    assert rules(tiny_config(loss={"name": f"own_losses:{name}"})) == []


def test_soft_targets_are_tried_where_images_are_mixed(tiny_config: MakeConfig) -> None:
    config = tiny_config(loss={"name": "own_losses:labels_only"}, augment=MIXES)
    (rule,) = rules(config)
    assert "failed: RuntimeError" in rule
    assert "the soft targets [4, 10] float32 of augment.mixup and cutmix" in rule
    assert rules(tiny_config(loss={"name": "own_losses:Poly1"}, augment=MIXES)) == []


def test_the_random_numbers_of_the_process_stay_as_they_were(tiny_config: MakeConfig) -> None:
    before = torch.get_rng_state()
    rules(tiny_config(loss={"name": "own_losses:noisy"}))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_with_it_does_not_begin(tiny_config: MakeConfig) -> None:
    config = tiny_config(loss={"name": "own_losses:endless"})
    with pytest.raises(ConfigError, match=r"loss.name: \"own_losses:endless\" must return a fin"):
        refuse_failing(config, allow_custom_model=True)


@pytest.mark.parametrize("loss", [{"name": "cross_entropy"}, {"name": "nll"}])
def test_an_ignored_class_cannot_be_mixed(tiny_config: MakeConfig, loss: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"loss\.ignore_index: must not be a class"):
        tiny_config(loss={**loss, "ignore_index": 3}, augment=MIXES)
    tiny_config(loss=loss, augment=MIXES)
