"""Tests of timm's models: names, preprocessing and weights in the hub's cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.optional import skip_module_without
from tests.support.weight_caches import lay_hub_cache
from trainable.errors import ConfigError
from trainable.models.timm_models import (
    build,
    find_cached,
    read_preprocessing,
    read_state,
    resolve_name,
    takes_image_size,
)

skip_module_without("timm")
constants = pytest.importorskip("huggingface_hub.constants")

NAME = "timm/test_vit.r160_in1k"


def rule_of(error: pytest.ExceptionInfo[ConfigError]) -> str:
    [problem] = error.value.problems
    return f"{problem.key}: {problem.rule}"


def test_a_name_gets_the_tag_of_the_default_weights() -> None:
    assert resolve_name("timm/test_vit") == NAME
    assert resolve_name(NAME) == NAME
    assert resolve_name("timm/resnet50.tv_in1k") == "timm/resnet50.tv_in1k"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "timm/resnet188",
            'model.name: timm has no model "resnet188"; did you mean "timm/resnet18',
        ),
        (
            "timm/resnet18.a1",
            'model.name: timm has no weights "resnet18.a1"; did you mean "timm/resnet18.a1_in1k"?',
        ),
        ("timm/coatnet_0_224", 'model.pretrained: timm has no weights for "timm/coatnet_0_224"'),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, rule: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve_name(name)
    assert rule_of(raised).startswith(rule)


def test_the_preprocessing_is_that_of_the_tag() -> None:
    used = read_preprocessing("timm/tf_efficientnet_lite0.in1k")
    assert (used.mean, used.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (used.interpolation, used.crop_share, used.image_size) == ("bicubic", 0.875, 224)
    assert read_preprocessing("timm/resnet50.a1_in1k").crop_share == 0.95


def test_only_models_of_a_fixed_size_get_another_one() -> None:
    assert takes_image_size(NAME, 96, 96)
    assert not takes_image_size(NAME, 160, 160)
    assert not takes_image_size("timm/resnet18", 96, 96)


def test_weights_in_the_hubs_cache_are_used_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_cached(NAME) is None
    source = build(NAME, 1000, 3, {})
    file = lay_hub_cache(tmp_path, NAME, source.state_dict())
    assert find_cached(NAME) == file
    state = read_state(NAME, 1, {"img_size": 96}, file)
    grid = state["pos_embed"].shape[1] - source.pos_embed.shape[1]
    assert grid == 6 * 6 - 10 * 10  # resized by timm, as its position embeddings need it
    weight = source.patch_embed.proj.weight.sum(1, keepdim=True)
    torch.testing.assert_close(state["patch_embed.proj.weight"], weight)
    assert torch.equal(state["head.weight"], source.head.weight)


@pytest.mark.parametrize("collects", [True, False])
def test_the_import_of_timm_leaves_the_search_for_garbage_as_it_was(collects: bool) -> None:
    program = f"""
import gc, weakref
from trainable.models.timm_models import import_timm
class Model: pass
gc.disable()
model = Model()
model.itself, freed = model, weakref.ref(model)
del model
gc.{"enable" if collects else "disable"}()
assert import_timm("timm/resnet18") is import_timm("timm/resnet18")
print(gc.isenabled(), gc.get_freeze_count() > 100_000, freed() is None)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [str(collects), "True", "True"]
