"""Saved states of optimizers continue to the last bit, in any layout of groups."""

import copy
import io

import pytest
import torch
from torch import nn

from trainable.config import AdamWOptimizer, SGDOptimizer
from trainable.config.sections.optimizer import OtherOptimizer
from trainable.errors import CheckpointError
from trainable.optim.optimizers import apply_hyperparameters, build_optimizer, load_state

CPU = torch.device("cpu")
STEPS = 6
CUTS = (1, 3)
GROUPED = {"layer_decay": 0.7, "head_lr_factor": 3.0, "decay_norm_and_bias": False}
NAMES = (
    "adafactor", "adamc", "asgd", "lamb", "laprop", "lion", "muon", "nadam", "novograd", "radam",
    "rmsprop", "sgdw", "timm/adafactor",
)  # fmt: skip
"""A state shaped otherwise, a step per group, a rate kept from the constructor, two classes."""


def config_of(name, **values):
    kinds = {"sgd": SGDOptimizer, "adamw": AdamWOptimizer}
    given = {"learning_rate": 0.01, "weight_decay": 0.1, **values}
    return kinds.get(name, OtherOptimizer)(name=name, **given)


def make(dtype=torch.channels_last):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Flatten(),
        nn.Linear(16, 4),
    )  # fmt: skip
    return model.to(memory_format=dtype)


def train(model, optimizer, steps):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(6, 3, 5, 5, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(6) % 4).backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - step / 10) * group.get("lr_scale", 1.0)
        optimizer.step()


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def continued(before, after, cut):
    """Trains with one config, and from the cut on with another one; returns the weights."""
    first = make()
    optimizer = build_optimizer(before, first, CPU)
    train(first, optimizer, range(cut))
    state = saved_and_loaded({"model": first.state_dict(), "optimizer": optimizer.state_dict()})
    second = make()
    second.load_state_dict(state["model"])
    optimizer = build_optimizer(after, second, CPU)
    load_state(optimizer, state["optimizer"], after)
    train(second, optimizer, range(cut, STEPS))
    return weights(second)


@pytest.mark.parametrize("groups", [{}, GROUPED], ids=["one group", "many groups"])
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_and_loaded_state_continues_bit_equally(name, groups):
    pytest.importorskip("timm")
    config, whole = config_of(name, **groups), make()
    train(whole, build_optimizer(config, whole, CPU), range(STEPS))
    for cut in CUTS:
        assert torch.equal(continued(config, config, cut), weights(whole)), cut


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "adamc", "rmsprop"])
def test_values_changed_at_a_load_are_those_of_a_donor_that_changes_them_in_place(name, cut):
    pytest.importorskip("timm")
    old = config_of(name, **GROUPED)
    new = config_of(
        name, weight_decay=0.3, layer_decay=0.5, head_lr_factor=0.5, learning_rate=0.02
    )
    donor = make()
    optimizer = build_optimizer(old, donor, CPU)
    train(donor, optimizer, range(cut))
    apply_hyperparameters(optimizer, new)
    train(donor, optimizer, range(cut, STEPS))
    assert torch.equal(continued(old, new, cut), weights(donor))
    assert not torch.equal(continued(old, old, cut), weights(donor))


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "nadam"])
@pytest.mark.parametrize("groups", [({}, GROUPED), (GROUPED, {})], ids=["to many", "to one"])
def test_a_state_fits_into_another_layout_of_groups(name, groups):
    """The values are equal in both layouts, so that the weights must be as well."""
    pytest.importorskip("timm")
    equal = {"layer_decay": 1.0, "head_lr_factor": 1.0 + 1e-12}  # many groups, same rates
    plain, grouped = config_of(name), config_of(name, **equal)
    before, after = (plain, grouped) if groups[0] == {} else (grouped, plain)
    whole = make()
    train(whole, build_optimizer(plain, whole, CPU), range(STEPS))
    torch.testing.assert_close(continued(before, after, 3), weights(whole), rtol=1e-5, atol=1e-7)


def test_a_state_of_an_earlier_version_has_no_names_and_fits_by_order():
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    train(model, optimizer, range(3))
    state = saved_and_loaded(optimizer.state_dict())
    assert "param_names" not in state["param_groups"][0]
    grouped = build_optimizer(config_of("adamw", **GROUPED), model, CPU)
    grouped.load_state_dict(state)
    for parameter in model.parameters():
        theirs, ours = optimizer.state[parameter], grouped.state[parameter]
        assert torch.equal(theirs["exp_avg"], ours["exp_avg"])
        assert ours["step"] == 3


def test_a_step_counted_by_group_is_counted_once_in_each_group_of_another_layout():
    pytest.importorskip("timm")
    model = make()
    optimizer = build_optimizer(config_of("lamb"), model, CPU)
    train(model, optimizer, range(3))
    grouped = build_optimizer(config_of("lamb", **GROUPED), model, CPU)
    grouped.load_state_dict(optimizer.state_dict())
    train(model, grouped, range(3, 5))
    assert [int(group["step"]) for group in grouped.param_groups] == [5] * 6
    assert int(optimizer.param_groups[0]["step"]) == 3


def test_frozen_parameters_have_no_state_and_get_one_after_they_are_trained():
    model, config = make(), config_of("adamw", **GROUPED)
    model[0].requires_grad_(False)
    optimizer = build_optimizer(config, model, CPU)
    train(model, optimizer, range(2))
    state = saved_and_loaded(optimizer.state_dict())
    heir = build_optimizer(config, model, CPU)
    heir.load_state_dict(state)
    assert model[0].weight not in heir.state
    model[0].requires_grad_(True)
    train(model, heir, range(2, 4))
    assert [int(heir.state[p]["step"]) for p in (model[0].weight, model[3].weight)] == [2, 4]


def test_a_state_of_another_optimizer_is_refused_by_its_name():
    pytest.importorskip("timm")
    model = make()
    for saved, own in (("lamb", "lion"), ("lamb", "adamw"), ("sgd", "lamb"), ("sgdw", "sgd")):
        state = build_optimizer(config_of(saved), model, CPU).state_dict()
        with pytest.raises(CheckpointError, match=rf"optimizer\.name: {own}, found {saved};"):
            build_optimizer(config_of(own), model, CPU).load_state_dict(copy.deepcopy(state))


def test_a_state_of_parameters_with_other_names_is_refused():
    config = config_of("adamw", **GROUPED)
    state = build_optimizer(config, make(), CPU).state_dict()
    for group in state["param_groups"]:
        group["param_names"] = [f"other.{name}" for name in group["param_names"]]
    with pytest.raises(CheckpointError, match=r"have the parameter 0\.weight, found other\.0"):
        build_optimizer(config, make(), CPU).load_state_dict(state)


def test_the_default_state_is_that_of_earlier_versions():
    optimizer = build_optimizer(config_of("sgd"), make(), CPU)
    (group,) = optimizer.state_dict()["param_groups"]
    plain = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, fused=True)
    assert group.keys() == plain.state_dict()["param_groups"][0].keys()
