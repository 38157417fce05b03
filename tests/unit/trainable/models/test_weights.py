"""Tests of weights from files, fitted to a model with its own classifier and channels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainable.errors import ConfigError
from trainable.models.weights import (
    SMALL_STD,
    adapt_channels,
    fit_weights,
    load_weights,
    read_file,
    start_head,
)


def build(classes: int = 3, channels: int = 3, width: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3),
        nn.BatchNorm2d(width),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


def rule_of(error: pytest.ExceptionInfo[ConfigError]) -> str:
    [problem] = error.value.problems
    assert problem.key == "model.pretrained"
    return problem.rule


@pytest.mark.parametrize("key", ["", "state_dict", "model", "model_ema", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_a_file_of_any_training_program_is_read(tmp_path: Path, key: str, prefix: str) -> None:
    state = build().state_dict()
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    content: dict[str, Any] = {key: named, "epoch": 3} if key else named
    torch.save(content, tmp_path / "weights.pth")
    read, config = read_file(str(tmp_path / "weights.pth"))
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert config == {}


def test_the_averaged_weights_of_another_program_are_preferred(tmp_path: Path) -> None:
    raw, averaged = build().state_dict(), build().state_dict()
    torch.save({"state_dict": raw, "state_dict_ema": averaged}, tmp_path / "a.pth")
    read, _ = read_file(str(tmp_path / "a.pth"))
    assert torch.equal(read["0.weight"], averaged["0.weight"])


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    state = build().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    read, _ = read_file(str(tmp_path / "a.safetensors"))
    assert torch.equal(read["3.bias"], state["3.bias"])


class RunsCode:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (RunsCode(), "is no file of weights"),
        ({"state_dict": {}}, "has no weights by name"),
        ({"a": 1}, "must have tensors by name"),
        ([1], "has no weights by name"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: Any, rule: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises(ConfigError) as raised:
        read_file(str(path))
    assert rule_of(raised).startswith(f"{path} {rule}")


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x10")
    with pytest.raises(ConfigError, match="is no file of weights"):
        read_file(str(tmp_path / "a.safetensors"))
    with pytest.raises(ConfigError, match="there is no file"):
        read_file(str(tmp_path / "b.pt"))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6])
def test_channels_are_adapted_as_timm_does(channels: int) -> None:
    timm = pytest.importorskip("timm.models")
    weight = torch.randn(4, 3, 3, 3)
    expected = timm.adapt_input_conv(channels, weight.clone())
    torch.testing.assert_close(adapt_channels(weight, channels), expected)


def test_a_classifier_of_other_classes_is_new_and_everything_else_is_loaded() -> None:
    source, model = build(classes=7), build(classes=3)
    head = model[3].weight.clone()
    assert load_weights(model, source.state_dict())
    assert torch.equal(model[0].weight, source[0].weight)
    assert torch.equal(model[1].running_mean, source[1].running_mean)
    assert torch.equal(model[3].weight, head)


def test_a_classifier_of_as_many_classes_is_kept() -> None:
    source, model = build(), build()
    assert not load_weights(model, source.state_dict())
    assert torch.equal(model[3].weight, source[3].weight)


def test_weights_without_a_classifier_are_those_of_a_feature_extractor() -> None:
    state = {name: t for name, t in build().state_dict().items() if not name.startswith("3.")}
    assert load_weights(build(), state)


def test_channels_are_adapted_when_weights_are_loaded() -> None:
    source, model = build(), build(channels=1)
    load_weights(model, source.state_dict())
    torch.testing.assert_close(model[0].weight, source[0].weight.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"0.weight": None}, "it lacks 0.weight"),
        ({"9.weight": torch.zeros(1)}, "it has foreign 9.weight"),
        ({"0.bias": torch.zeros(5)}, "it has 0.bias [5] instead of [4]"),
    ],
)
def test_weights_of_another_model_are_refused(change: dict[str, Any], rule: str) -> None:
    state = {**build().state_dict(), **change}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    with pytest.raises(ConfigError) as raised:
        fit_weights(build(), state)
    assert rule in rule_of(raised)


def test_weights_are_fitted_to_shapes_alone() -> None:
    with torch.device("meta"):
        shapes = build(classes=9)
    assert "3.weight" not in fit_weights(shapes, build().state_dict())


def test_a_new_classifier_starts_as_the_key_says() -> None:
    model = build(classes=500, width=50)
    before = model[3].weight.clone()
    start_head(model, "library")
    assert torch.equal(model[3].weight, before)
    start_head(model, "small")
    assert float(model[3].weight.detach().std()) == pytest.approx(SMALL_STD, rel=0.05)
    assert not model[3].bias.any()
    start_head(model, "zero")
    assert not model[3].weight.any()
