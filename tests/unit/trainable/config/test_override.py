"""Overrides: setting dotted keys in the plain values of a config."""

import re
from typing import Any

import pytest

from trainable.config import parse_config
from trainable.config.override import override
from trainable.errors import ConfigError


def base() -> dict[str, Any]:
    return {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 50},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }


def test_override_sets_dotted_keys_in_a_deep_copy():
    data = base()
    values = {"optimizer.learning_rate": 0.5, "amp.enabled": True, "loss": {"name": "l1"}}
    result = override(data, values)
    assert result["optimizer"] == {"name": "sgd", "learning_rate": 0.5}
    assert (result["amp"], result["loss"]) == ({"enabled": True}, {"name": "l1"})
    result["dataset"]["name"] = "mnist"
    result["loss"]["name"] = "mse"
    assert data == base()
    assert values["loss"] == {"name": "l1"}


def test_a_new_name_drops_the_keys_that_it_does_not_have():
    data = base()
    data["optimizer"] |= {"momentum": 0.8, "weight_decay": 1e-4}
    result = override(data, {"optimizer.betas": [0.8, 0.9], "optimizer.name": "adamw"})
    assert result["optimizer"] == {
        "name": "adamw", "learning_rate": 0.1, "weight_decay": 1e-4, "betas": [0.8, 0.9],
    }  # fmt: skip
    assert parse_config(result).optimizer.name == "adamw"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"optimizer.name": "adam", "optimizer.momentum": 0.5}, "not a key of optimizer adam"),
        ({"optimizer.name": "sgd", "optimizer.eps": 0.5}, "not a key of optimizer sgd"),
        ({"scheduler.name": "cosin"}, 'unknown name, found "cosin"'),
        ({"loss.name": "cross_entropy", "loss.beta": 2}, "not a key of loss cross_entropy"),
        ({"optimzer.name": "adam"}, 'did you mean "optimizer"?'),
    ],
)
def test_a_wrong_key_or_name_stays_for_parse_config_to_report(values, problem):
    data = base() | {"loss": {"label_smoothing": 0.5}}
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_config(override(data, values))


def test_setting_the_default_name_keeps_the_section():
    data = base() | {"loss": {"label_smoothing": 0.5}}
    assert override(data, {"loss.name": "cross_entropy"})["loss"]["label_smoothing"] == 0.5
    assert override(data, {"loss.name": "l1"})["loss"] == {"name": "l1"}


def test_a_key_below_a_plain_value_is_refused():
    with pytest.raises(ConfigError, match=r'model\.name\.x: "name" must be a mapping'):
        override(base(), {"model.name.x": 1})


def test_a_section_whose_keys_exclude_one_another_is_replaced_whole():
    data = base() | {"training": {"epochs": 1, "clip_grad": {"norm": 1.0}}}
    for values in (
        {"training.clip_grad": {"agc": 0.1}},
        {"training": {"clip_grad": {"agc": 0.1}}},
    ):
        assert override(data, values)["training"] == {"epochs": 1, "clip_grad": {"agc": 0.1}}
    data["model"] = {"name": "resnet20", "freeze": "backbone"}
    frozen = override(data, {"model.freeze": {"stages": 2}})["model"]["freeze"]
    assert frozen == {"stages": 2}
    assert override(data, {"model.freeze": "none"})["model"]["freeze"] == "none"


def test_arguments_belong_to_one_name():
    data = base()
    data["optimizer"] = {"name": "lamb", "learning_rate": 0.1, "args": {"trust_clip": True}}
    assert override(data, {"optimizer.name": "lamb"})["optimizer"] == data["optimizer"]
    assert "args" not in override(data, {"optimizer.name": "lion"})["optimizer"]
    both = override(data, {"optimizer.name": "lion", "optimizer.args.caution": True})
    assert both["optimizer"]["args"] == {"caution": True}
