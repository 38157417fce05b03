"""The keys of `training` that exclude one another."""

import pytest

from trainable.config import parse_config
from trainable.errors import ConfigError


def clip_grad(value):
    return parse_config(
        {
            "dataset": {"name": "digits"},
            "model": {"name": "resnet20"},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "training": {"epochs": 9, "clip_grad": value},
        }
    ).training.clip_grad


def test_one_kind_of_clipping_can_be_set():
    assert clip_grad(None) is None
    assert clip_grad({"norm": 1}).norm == 1
    assert clip_grad({"agc": 0.01, "norm": None}).agc == 0.01


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (
            {"norm": 1, "value": 2},
            "training.clip_grad: must have one of norm, value and agc, found",
        ),
        ({"nrm": 1}, 'training.clip_grad.nrm: unknown key; did you mean "norm"?'),
        ({"norm": 0}, "training.clip_grad.norm: must be > 0, found 0"),
        (1.0, "training.clip_grad: must be a mapping"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(value, rule):
    with pytest.raises(ConfigError) as raised:
        clip_grad(value)
    assert rule in str(raised.value)
