"""The recipe is checked before a training: the optimizer, and what is frozen."""

import pytest

from trainable.config import parse_config
from trainable.errors import ConfigError
from trainable.preflight.checks import Checker, needs_torch, refuse_failing


def config(**sections):
    data = {
        "dataset": {
            "name": "synthetic", "shape": [3, 8, 8], "num_classes": 3, "num_train": 8,
            "num_test": 4,
        },
        "model": {"name": "resnet20"},
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": False},
    }  # fmt: skip
    return parse_config(data | {key: data.get(key, {}) | value for key, value in sections.items()})


def problems(**sections):
    checker = Checker(allow_custom_model=True)
    return [f"{p.key}: {p.rule}" for p in checker.slow_problems(config(**sections))]


def test_a_config_without_such_keys_needs_no_torch():
    assert not needs_torch(config())
    assert not needs_torch(config(model={"freeze": "backbone"}, optimizer={"layer_decay": 0.5}))
    assert needs_torch(config(optimizer={"name": "nadam"}))
    assert needs_torch(config(optimizer={"args": {"dampening": 0.1}}))
    assert needs_torch(config(model={"freeze": {"stages": 1}}))


def test_good_recipes_have_no_problems():
    assert problems(optimizer={"name": "nadam"}, model={"freeze": {"stages": 4}}) == []


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({"optimizer": {"name": "nadm"}}, 'optimizer.name: neither torch nor timm has an'),
        ({"optimizer": {"args": {"damping": 0.1}}},
         'optimizer.args.damping: unknown argument of sgd; did you mean "dampening"?'),
        ({"model": {"freeze": {"stages": 5}}},
         "model.freeze.stages: must be at most 4 for resnet20, found 5"),
        ({"model": {"name": "tiny_models:mlp", "freeze": {"stages": 2}}},
         "model.freeze.stages: must be at most 1 for tiny_models:mlp, found 2"),
    ],
)  # fmt: skip
def test_a_bad_recipe_is_refused_with_the_rule(sections, rule):
    pytest.importorskip("timm")
    (found,) = problems(**sections)
    assert found.startswith(rule)


def test_all_problems_are_in_one_list_before_a_training():
    bad = config(model={"freeze": {"stages": 9}}, optimizer={"name": "nadam", "args": {"x": 1}})
    with pytest.raises(ConfigError) as raised:
        refuse_failing(bad, allow_custom_model=False)
    assert {p.key for p in raised.value.problems} == {"model.freeze.stages", "optimizer.args.x"}
