"""The keys of `model` that say what is trained."""

import pytest

from trainable.config import parse_config
from trainable.config.sections.model import FrozenStages
from trainable.errors import ConfigError


def model(**section):
    return parse_config(
        {
            "dataset": {"name": "digits"},
            "model": {"name": "resnet20", **section},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "training": {"epochs": 9},
        }
    ).model


def test_nothing_is_frozen_unless_it_is_named():
    assert (model().freeze, model().unfreeze_epoch) == ("none", None)
    assert model(freeze="backbone", unfreeze_epoch=3).unfreeze_epoch == 3
    assert model(freeze={"stages": 2}).freeze == FrozenStages(stages=2)
    assert model().batch_norm == "train"


def test_statistics_are_kept_where_there_may_be_some():
    for section in ({"pretrained": "weights.pt"}, {"name": "tiny_models:mlp"}):
        assert model(batch_norm="eval", **section).batch_norm == "eval"


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        ({"freeze": "head"}, 'model.freeze: must be "none" or "backbone"'),
        ({"freeze": {"stage": 2}}, 'model.freeze.stage: unknown key; did you mean "stages"?'),
        ({"freeze": {"stages": 0}}, "model.freeze.stages: must be > 0, found 0"),
        ({"unfreeze_epoch": 0}, "model.unfreeze_epoch: must be > 0, found 0"),
        ({"batch_norm": "frozen"}, 'model.batch_norm: must be "train" or "eval"'),
        (
            {"batch_norm": "eval"},
            "model.batch_norm: must be train without pretrained weights, found eval",
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(section, rule):
    with pytest.raises(ConfigError) as raised:
        model(**section)
    assert rule in str(raised.value)
