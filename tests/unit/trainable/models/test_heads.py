"""Tests of finding a model's classifier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainable.config import parse_config
from trainable.errors import TuneSweepsError
from trainable.models import get_model
from trainable.models.heads import head_modules, head_parameters

CLASSES = 7


def build_built_in(name: str) -> nn.Module:
    config = {
        "dataset": {"name": "synthetic"},
        "model": {"name": name, "num_classes": CLASSES, "in_channels": 3},
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    with torch.device("meta"):
        return get_model(parse_config(config))


def outputs_of_heads(model: nn.Module) -> set[int]:
    modules = dict(model.named_modules())
    return {
        parameter.shape[0]
        for name in head_modules(model)
        for parameter in modules[name].parameters()
    }


class ClassifierFirst(nn.Module):
    """Model of a user whose classifier is registered first and said by `get_classifier`."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(4, CLASSES)
        self.body = nn.Linear(3, 4)

    def get_classifier(self) -> nn.Module:
        return self.top

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.top(self.body(images.mean((2, 3))))
        return logits


@pytest.mark.parametrize(
    "name", ["cnv", "mobilenetv1", "resnet18", "resnet20", "resnet50", "vgg11"]
)
def test_built_in_models_end_with_one_linear_layer(name: str) -> None:
    """The left-out models only repeat blocks of these."""
    model = build_built_in(name)
    (head,) = head_modules(model)
    assert head in ("fc", "head.2", "head.6")
    assert outputs_of_heads(model) == {CLASSES}
    assert head_parameters(model) == {f"{head}.weight", f"{head}.bias"}


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("squeezenet1_1", ("classifier.1",)),
        ("vit_b_32", ("heads.head",)),
        ("convnext_tiny", ("classifier.2",)),
        ("googlenet", ("aux1.fc2", "aux2.fc2", "fc")),
        ("inception_v3", ("AuxLogits.fc", "fc")),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_torchvision_models_with_their_auxiliary_classifiers(
    name: str, heads: tuple[str, ...]
) -> None:
    from torchvision.models import get_model as build

    with torch.device("meta"):
        model = build(name, num_classes=CLASSES)
    assert head_modules(model) == heads
    assert outputs_of_heads(model) == {CLASSES}


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("resnet10t", ("fc",)),
        ("convnext_atto", ("head.fc",)),
        ("levit_128s", ("head.linear", "head_dist.linear")),
    ],
)
def test_timm_models_name_their_classifiers(name: str, heads: tuple[str, ...]) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=CLASSES)
    assert head_modules(model) == heads


@pytest.mark.slow
def test_every_family_of_timm_has_heads_of_all_classes() -> None:
    timm = pytest.importorskip("timm")
    for family in timm.list_modules():
        name = timm.list_models(module=family)[0]
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=CLASSES)
        modules = dict(model.named_modules())
        for head in head_modules(model):
            assert modules[head].weight.shape[0] == CLASSES, name


def test_a_model_of_ones_own_may_say_which_module_it_is() -> None:
    assert head_modules(ClassifierFirst()) == ("top",)
    assert head_parameters(ClassifierFirst()) == {"top.weight", "top.bias"}


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(TuneSweepsError, match="Sequential has no classifier"):
        head_modules(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3)))
