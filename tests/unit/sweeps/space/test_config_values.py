"""The values that expressions read are those of the trial's training config."""

from typing import Any

import pytest

from sweeps.space.config_values import ConfigValues
from trainable.config import parse_config
from trainable.config.dotted import flatten
from trainable.config.override import override

CONFIG: dict[str, Any] = {
    "dataset": {"name": "digits", "val_split": None},
    "model": {"name": "resnet20"},
    "training": {"epochs": 5},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.3},
    "loss": None,
    "augment": {"cutmix": {"alpha": 0.5}},
}

DRAWS: list[dict[str, Any]] = [
    {},
    {"optimizer.name": "adam"},
    {"optimizer.name": "adamw", "optimizer.weight_decay": 0.2},
    {"optimizer": {"name": "adam", "learning_rate": 0.01}, "optimizer.learning_rate": 0.5},
    {"optimizer": {"learning_rate": 0.01}},
    {"loss.name": "smooth_l1", "scheduler.name": "exponential"},
    {"dataset.name": "synthetic", "training.batch_size": 7},
    {"augment.cutmix.probability": 0.1, "augment.mixup": None},
    {"augment.randaugment": {"operations": 1, "magnitude": 2}},
]


@pytest.mark.parametrize("drawn", DRAWS)
def test_every_key_has_the_value_of_the_trials_config(drawn: dict[str, Any]) -> None:
    base = {key: value for key, value in CONFIG.items() if value is not None}
    config = flatten(parse_config(override(base, drawn)).to_dict())
    trial = {key: value for key, value in config.items() if "." in key}
    keys = [*trial, "optimizer.betas", "optimizer.momentum", "loss.beta", "a.b", "training"]
    values = ConfigValues(CONFIG).find(keys, flatten(drawn, keep_mappings=True))
    assert values == trial


def test_a_required_key_that_is_missing_has_no_value() -> None:
    assert ConfigValues({"optimizer": {"name": "sgd"}}).find(["optimizer.learning_rate"], {}) == {}
