"""Tests of torchvision's models: names, preprocessing, channels and weights in torch's cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.weight_caches import lay_torch_cache
from trainable.errors import ConfigError
from trainable.models.torchvision_models import (
    build,
    find_cached,
    place,
    read_preprocessing,
    read_state,
    resolve_name,
)

SQUEEZENET = "torchvision/squeezenet1_1.IMAGENET1K_V1"


def test_a_name_gets_the_tag_of_the_default_weights() -> None:
    assert resolve_name("torchvision/squeezenet1_1") == SQUEEZENET
    assert resolve_name("torchvision/resnet50") == "torchvision/resnet50.IMAGENET1K_V2"
    assert resolve_name("torchvision/resnet50.IMAGENET1K_V1").endswith("_V1")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "torchvision/resnet5",
            'torchvision has no model "resnet5"; did you mean "torchvision/re',
        ),
        ("torchvision/resnet50.V2", 'torchvision has no weights "resnet50.V2"; did you mean'),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.name") as raised:
        resolve_name(name)
    assert raised.value.problems[0].rule.startswith(rule)


def test_the_preprocessing_is_that_of_the_tag() -> None:
    used = read_preprocessing("torchvision/resnet50.IMAGENET1K_V2")
    assert (used.image_size, used.crop_share) == (224, 224 / 232)
    assert used.mean == (0.485, 0.456, 0.406)
    assert used.interpolation == "bilinear"


def test_a_model_that_no_checkpoint_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be loaded from a checkpoint"):
        build("torchvision/mnasnet0_5", 5, 3, {})


@pytest.mark.parametrize("channels", [1, 4])
def test_a_model_takes_another_number_of_channels(channels: int) -> None:
    model = build(SQUEEZENET, 5, channels, {}).eval()
    assert model(torch.zeros(2, channels, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize("name", ["torchvision/googlenet", "torchvision/inception_v3"])
def test_a_model_with_auxiliary_heads_returns_logits_alone(name: str) -> None:
    with torch.device("meta"):
        model = build(name, 5, 1, {}).train()
        logits: Tensor = model(torch.zeros(2, 1, 96, 96))
    assert logits.shape == (2, 5)
    with pytest.raises(ConfigError, match=r"model\.args: must not have aux_logits: true"):
        build(name, 5, 3, {"aux_logits": True})


def test_weights_in_torchs_cache_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert find_cached(SQUEEZENET) is None
    assert place(SQUEEZENET) == (
        f"the file squeezenet1_1-b8a52dc0.pth in {tmp_path}/hub/checkpoints (TORCH_HOME)"
    )
    source = build(SQUEEZENET, 1000, 3, {})
    file = lay_torch_cache(tmp_path, "squeezenet1_1-b8a52dc0.pth", source.state_dict())
    assert find_cached(SQUEEZENET) == file
    state = read_state(SQUEEZENET, {"dropout": 0.2})
    assert all(torch.equal(state[name], tensor) for name, tensor in source.state_dict().items())
