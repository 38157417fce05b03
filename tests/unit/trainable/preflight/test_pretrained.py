"""Tests of the checks of models of libraries and of weights, before anything is created."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.optional import skip_module_without
from trainable.config import parse_config
from trainable.errors import ConfigError
from trainable.models import get_model
from trainable.preflight.checks import refuse_failing

skip_module_without("timm")
constants = pytest.importorskip("huggingface_hub.constants")

SYNTHETIC = {"name": "synthetic", "num_classes": 5, "num_train": 8, "num_test": 4}


def problems_of(
    model: dict[str, Any], dataset: dict[str, Any] = SYNTHETIC, **sections: Any
) -> list[str]:
    config = {
        "dataset": dataset,
        "model": {"name": "timm/test_resnet", **model},
        "training": {"epochs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        **sections,
    }
    try:
        refuse_failing(parse_config(config), allow_custom_model=False)
    except ConfigError as error:
        return [f"{problem.key}: {problem.rule}" for problem in error.problems]
    return []


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of weights of `timm/test_resnet` for 7 classes."""
    config = parse_config(
        {
            "dataset": SYNTHETIC,
            "model": {"name": "timm/test_resnet", "num_classes": 7},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )
    torch.save(get_model(config).state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"args": {"drop_path_rate": 0.1}},
        {"name": "timm/test_vit"},
        {"name": "torchvision/squeezenet1_1", "args": {"dropout": 0.1}},
    ],
)
def test_a_model_that_fits_the_images_needs_no_permission(model: dict[str, Any]) -> None:
    assert problems_of(model) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            {"name": "timm/test_resnets"},
            'model.name: timm has no model "test_resnets"; did you mean "timm/test_resnet"?',
        ),
        (
            {"name": "torchvision/resnet118"},
            'model.name: torchvision has no model "resnet118"; did you mean "torchvision/resne',
        ),
        (
            {"args": {"drop_path_rat": 0.1}},
            'model.args.drop_path_rat: "timm/test_resnet" takes no such argument; did you mean '
            '"drop_path_rate"?',
        ),
        ({"args": {"img_size": 32}}, 'model.args.img_size: "timm/test_resnet" takes no such'),
        (
            {"name": "torchvision/squeezenet1_1", "args": {"nonsense": 1}},
            'model.args.nonsense: "torchvision/squeezenet1_1" takes no such argument',
        ),
        (
            {"name": "timm/vit_tiny_patch16_224", "args": {"img_size": 96}},
            'model.name: "timm/vit_tiny_patch16_224" cannot be run on images [B, 3, 32, 32]: As',
        ),
        ({"in_channels": 1}, "model.in_channels: must be the data's 3, found 1"),
        ({"pretrained": "/no/such.pt"}, "model.pretrained: there is no file /no/such.pt"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(model: dict[str, Any], expected: str) -> None:
    assert problems_of(model)[0].startswith(expected)


def test_a_mean_of_other_channels_is_refused() -> None:
    assert problems_of({"name": "resnet20"}, {**SYNTHETIC, "mean": [0.5]}) == [
        "dataset.mean: must have one value per channel (3), found 1"
    ]


def test_weights_of_a_file_are_compared_with_the_model(weights: Path) -> None:
    assert problems_of({"pretrained": str(weights)}) == []
    [problem] = problems_of({"pretrained": str(weights), "name": "torchvision/squeezenet1_1"})
    assert problem.startswith(f"model.pretrained: {weights} is of another model than SqueezeNet")
    [problem] = problems_of({"pretrained": str(weights), "name": "resnet20"})
    assert problem.startswith(f"model.pretrained: {weights} is of another model than CifarResNet")


def test_weights_that_cannot_be_fetched_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    [problem] = problems_of({"pretrained": True})
    assert problem.startswith('model.pretrained: the weights of "timm/test_resnet.r160_in1k"')
    assert f"{tmp_path}/hub (HF_HUB_CACHE)" in problem
    assert [*tmp_path.iterdir()] == []
    resumed = {"checkpoint": {"resume": str(tmp_path / "latest.pt")}}
    assert not any("pretrained" in text for text in problems_of({"pretrained": True}, **resumed))


def test_a_missing_timm_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "path", [])
    assert problems_of({"name": "timm/resnet18"}) == [
        'model.name: "timm/resnet18" needs timm, which is not installed: '
        'pip install "tune-sweeps[timm]"'
    ]
