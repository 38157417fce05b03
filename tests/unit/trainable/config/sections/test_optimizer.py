"""The optimizer's section is chosen by its name; other names are those of torch and timm."""

import pytest

from trainable.config import parse_config
from trainable.config.sections.optimizer import AdamOptimizer, OtherOptimizer
from trainable.errors import ConfigError

BASE = {"dataset": {"name": "digits"}, "model": {"name": "resnet20"}, "training": {"epochs": 9}}


def optimizer(**section):
    return parse_config({**BASE, "optimizer": {"learning_rate": 0.1, **section}}).optimizer


def refusal(**section):
    with pytest.raises(ConfigError) as raised:
        optimizer(**section)
    return str(raised.value)


def test_names_choose_their_section():
    assert isinstance(optimizer(name="adam"), AdamOptimizer)
    for name in ("lamb", "nadamw", "timm/rmsprop", "adam2"):
        assert isinstance(optimizer(name=name), OtherOptimizer), name


def test_other_optimizers_have_arguments_and_the_common_keys():
    section = optimizer(name="lamb", layer_decay=0.8, args={"betas": [0.9, 0.99]})
    assert section.args == {"betas": [0.9, 0.99]}
    assert (section.layer_decay, section.head_lr_factor, section.decay_norm_and_bias) == (
        0.8,
        1.0,
        True,
    )


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        ({"name": "Adam"}, 'optimizer.name: unknown name, found "Adam"; did you mean "adam"?'),
        (
            {"name": "lamb", "momentum": 0.9},
            "optimizer.momentum: not a key of optimizer lamb but of",
        ),
        ({"name": "lamb", "trust_clip": True}, "arguments of lamb go into optimizer.args"),
        (
            {"name": "sgd", "betas": [0.9, 0.9]},
            "not a key of optimizer sgd; it belongs to adam, ad",
        ),
        ({"name": "sgd", "layer_decay": 1.5}, "optimizer.layer_decay: must be <= 1, found 1.5"),
        ({"name": "sgd", "head_lr_factor": 0}, "optimizer.head_lr_factor: must be > 0, found 0"),
        ({"name": "lbfgs"}, 'optimizer.name: cannot be "lbfgs": its step evaluates the loss'),
        ({"name": "schedulefree_sgd"}, "ema.enabled averages the weights"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(section, rule):
    assert rule in refusal(**section)
