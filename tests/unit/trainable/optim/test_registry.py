"""Optimizers are found by name, and their arguments are checked by signature."""

import inspect

import pytest
import torch

from tests.support.optional import skip_module_without
from trainable.config import AdamOptimizer, SGDOptimizer
from trainable.config.sections.optimizer import REFUSED, OtherOptimizer
from trainable.errors import ConfigError
from trainable.optim.registry import check_optimizer, constructor_arguments, find_class

skip_module_without("timm")


def other(name, **values):
    return OtherOptimizer(name=name, learning_rate=0.1, **values)


def problems(config):
    return [f"{problem.key}: {problem.rule}" for problem in check_optimizer(config)]


@pytest.mark.parametrize(
    "name",
    ["adadelta", "adafactor", "adagrad", "adamax", "asgd", "nadam", "radam", "rmsprop", "rprop"],
)
def test_names_of_torch_are_torchs_classes_with_its_defaults(name):
    kind = next(k for n, k in vars(torch.optim).items() if n.lower() == name)
    assert issubclass(find_class(name).kind, kind)
    assert constructor_arguments(other(name)) in ({"weight_decay": 0.0}, {})


def test_other_names_are_timms_and_a_prefix_prefers_it():
    from timm import optim as timm_optim  # takes seconds

    assert issubclass(find_class("lamb").kind, timm_optim.Lamb)
    assert issubclass(find_class("muon").kind, timm_optim.Muon)
    assert find_class("timm/rmsprop").defaults == {"momentum": 0.9, "alpha": 0.9}
    assert issubclass(find_class("timm/adafactor").kind, timm_optim.Adafactor)


@pytest.mark.parametrize("name", ["nesterovw", "sgdc", "csgdw", "csgdc", "nlars", "nlarc"])
def test_nesterov_gets_a_momentum_as_timms_factory_gives_it(name):
    assert problems(other(name)) == []
    assert constructor_arguments(other(name))["momentum"] == 0.9
    assert constructor_arguments(other(name, args={"momentum": 0.5}))["momentum"] == 0.5


@pytest.mark.slow
def test_every_name_of_torch_and_timm_can_be_built_or_is_refused_with_a_reason():
    from timm import optim as timm_optim

    torchs = {
        name.lower()
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
    } - {"optimizer", "sgd", "adam", "adamw"}
    names = torchs | set(timm_optim.list_optimizers()) - {"sgd", "adam", "adamw"}
    assert len(names) > 95
    for name in sorted(names - REFUSED.keys()):
        rules = problems(other(name))
        needs_library = name.startswith(("bnb", "fused"))
        assert bool(rules) == needs_library, (name, rules)


@pytest.mark.parametrize("name", [*REFUSED, "schedulefree_adamw", "adamw_schedule_free"])
def test_optimizers_that_no_training_can_use_are_refused_by_the_schema(name):
    with pytest.raises(ValueError, match=f'cannot be "{name}": '):
        other(name)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (other("lmab"), 'optimizer.name: neither torch nor timm has an optimizer "lmab"; did you '
         'mean "lamb"?'),
        (other("bnbadam"), 'optimizer.name: cannot be "bnbadam": it needs bitsandbytes and a GPU'),
        (other("lamb", args={"trust_clp": True}),
         'optimizer.args.trust_clp: unknown argument of lamb; did you mean "trust_clip"?'),
        (other("lamb", args={"lr": 0.1}), "optimizer.args.lr: is set by optimizer.learning_rate"),
        (other("lion", args={"foreach": True}), "optimizer.args.foreach: is chosen by the train"),
        (other("nadam", args={"betas": [1.5, 0.9]}),
         "optimizer.args: nadam refuses its arguments: "),
        (other("rprop", weight_decay=0.1), "optimizer.weight_decay: must be 0 for rprop, wh"),
        (AdamOptimizer(name="adam", learning_rate=1.0, args={"amsgrd": True}),
         'optimizer.args.amsgrd: unknown argument of adam; did you mean "amsgrad"?'),
        (SGDOptimizer(name="sgd", learning_rate=1.0, args={"momentum": 0.1}),
         "optimizer.args.momentum: is set by optimizer.momentum"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_nearest_name(config, rule):
    (found,) = problems(config)
    assert found.startswith(rule)


def test_arguments_of_the_three_with_a_section_are_added():
    config = AdamOptimizer(name="adam", learning_rate=1.0, args={"amsgrad": True})
    assert problems(config) == []
    assert constructor_arguments(config) == {
        "weight_decay": 0.0,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "amsgrad": True,
    }
    assert constructor_arguments(other("lamb", args={"betas": [0.5, 0.6]}))["betas"] == (0.5, 0.6)


def test_without_timm_its_names_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm.optim", None)
    find_class.cache_clear()
    assert issubclass(find_class("nadam").kind, torch.optim.NAdam)
    with pytest.raises(ConfigError, match=r'pip install "tune-sweeps\[timm\]"'):
        find_class("lamb")
    find_class.cache_clear()
