"""Layers, stages and groups of models; the values of the groups."""

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from trainable.config import AdamWOptimizer, parse_config
from trainable.models import get_model
from trainable.optim.parameter_groups import (
    build_groups,
    group_values,
    needs_groups,
    number_layers,
    number_stages,
)


def adamw(**values):
    return AdamWOptimizer(name="adamw", learning_rate=0.1, weight_decay=0.5, **values)


class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3),
            nn.BatchNorm2d(5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
        )  # fmt: skip


def built_in(name):
    config = {
        "dataset": {"name": "cifar10"},
        "model": {"name": name},
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    return get_model(parse_config(config))


def numbers(model, number=number_layers):
    """The first parameter of every layer, in order."""
    first = {}
    for name, layer in number(model).items():
        first.setdefault(layer, name)
    return [first[layer] for layer in sorted(first)]


def test_a_flat_model_has_a_layer_for_each_matrix_and_norms_belong_to_the_one_before():
    assert numbers(Flat()) == ["0.weight", "4.weight", "8.weight"]
    assert number_layers(Flat())["1.bias"] == 0
    assert list(number_layers(Flat())) == [name for name, _ in Flat().named_parameters()]


@pytest.mark.parametrize(
    ("build", "layers", "stages"),
    [
        (torchvision_models.resnet18, 10, 6),
        (torchvision_models.vit_b_16, 14, 14),
        (torchvision_models.convnext_tiny, 23, 6),
        (torchvision_models.mobilenet_v3_small, 15, 6),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_models_of_torchvision_have_a_layer_for_each_block(build, layers, stages):
    with torch.device("meta"):
        model = build()
    by_layer, by_stage = number_layers(model), number_stages(model)
    assert (max(by_layer.values()) + 1, max(by_stage.values()) + 1) == (layers, stages)
    assert list(by_layer.values()) == sorted(by_layer.values()), "in the order of the modules"


def test_our_resnet_has_a_layer_for_each_block_and_three_stages_after_its_stem():
    model = built_in("resnet20")
    assert max(number_layers(model).values()) == 10
    stages = number_stages(model)
    assert max(stages.values()) == 4
    firsts = numbers(model, number_stages)
    assert [name.split(".")[:2] for name in firsts[1:4]] == [
        ["blocks", "0"],
        ["blocks", "3"],
        ["blocks", "6"],
    ]


@pytest.mark.parametrize(
    "name", ["cnv", "mobilenetv1", "resnet18", "resnet32", "resnet50", "vgg11", "vgg19"]
)
def test_every_kind_of_built_in_model_has_layers_and_stages_in_order(name):
    with torch.device("meta"):
        model = built_in(name)
    for number in (number_layers, number_stages):
        values = list(number(model).values())
        assert values == sorted(values)
        assert set(values) == set(range(max(values) + 1))


def test_models_of_timm_number_their_layers_themselves():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model("resnet18", num_classes=3)
        vit = timm.create_model("vit_tiny_patch16_224", num_classes=3)
    assert (max(number_layers(model).values()), max(number_stages(model).values())) == (9, 5)
    assert number_layers(model)["fc.weight"] == 9
    assert max(number_layers(vit).values()) == 13
    groups = build_groups(adamw(decay_norm_and_bias=False), vit)
    undecayed = {name for g in groups if not g["decays"] for name, _ in g["params"]}
    assert {"pos_embed", "cls_token", "norm.weight"} <= undecayed


def test_without_a_key_that_needs_groups_there_is_one_without_names():
    model = Flat()
    (group,) = build_groups(adamw(), model)
    assert not needs_groups(adamw())
    assert [*group] == ["params"]
    assert all(a is b for a, b in zip(group["params"], model.parameters(), strict=True))


@pytest.mark.parametrize(
    "values", [{"layer_decay": 0.5}, {"head_lr_factor": 10.0}, {"decay_norm_and_bias": False}]
)
def test_any_key_makes_the_same_layout(values):
    model = Flat()
    model[0].requires_grad_(False)
    groups = build_groups(adamw(**values), model)
    names = [[name for name, _ in group["params"]] for group in groups]
    assert names == [
        ["0.weight"],
        ["0.bias", "1.weight", "1.bias"],
        ["4.weight"],
        ["4.bias", "5.weight", "5.bias"],
        ["8.weight"],
        ["8.bias"],
    ]
    assert [group["depth"] for group in groups] == [2, 2, 1, 1, 0, 0]


def test_values_follow_from_the_config_and_the_place():
    config = adamw(layer_decay=0.5, head_lr_factor=10.0, decay_norm_and_bias=False)
    values = [group_values(config, group) for group in build_groups(config, Flat())]
    assert values == [
        {"lr_scale": 0.25, "weight_decay": 0.5},
        {"lr_scale": 0.25, "weight_decay": 0.0},
        {"lr_scale": 0.5, "weight_decay": 0.5},
        {"lr_scale": 0.5, "weight_decay": 0.0},
        {"lr_scale": 10.0, "weight_decay": 0.5},
        {"lr_scale": 10.0, "weight_decay": 0.0},
    ]
    assert group_values(config, {"params": []}) == {}
