"""Tests of `sweeps.init.backbones`: which model, and with which weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.init.backbones import BACKBONES, NANO, RESNET18, ModelChoice, choose_model
from sweeps.init.data_facts import DataFacts
from tests.support.new_sweeps import CPU, GPU, LITE, forbid_network, lay_backbones
from tests.support.weight_caches import lay_torch_cache
from trainable.errors import ConfigError

PHOTOS = DataFacts({"name": "image_folder"}, {}, 6, 326, 77, 0, 30, 90, 3, 151, is_resized=True)
DIGITS = DataFacts({"name": "digits"}, {}, 10, 1438, 359, 0, 143, 143, 1, 8)


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_network(tmp_path, monkeypatch)


def choose(facts: DataFacts = PHOTOS, model: str | None = None) -> ModelChoice:
    return choose_model(facts, CPU, "quick", model, None)


def test_small_images_get_a_small_network_from_scratch() -> None:
    choice = choose(DIGITS)
    assert (choice.name, choice.pretrained, choice.notes) == ("resnet20", False, ())
    coloured = replace(DIGITS, channels=3, side=32)
    assert choose_model(coloured, GPU, "quick", None, None).name == "resnet18"


def test_the_first_backbone_whose_weights_are_at_hand_is_chosen(tmp_path: Path) -> None:
    lay_backbones(tmp_path, LITE)
    choice = choose()
    assert (choice.name, choice.pretrained, choice.weights_side) == (LITE, True, 224)
    assert "its weights are on this machine" in choice.why_weights
    assert choose_model(PHOTOS, GPU, "good", None, None).name == LITE
    lay_backbones(tmp_path, NANO)
    assert choose_model(PHOTOS, GPU, "good", None, None).name == NANO


def test_a_backbone_of_torchvision_takes_the_place_of_timms(tmp_path: Path) -> None:
    lay_torch_cache(tmp_path / "torch", "resnet18-f37072fd.pth", {})
    choice = choose()
    assert (choice.name, choice.pretrained) == (RESNET18, True)
    [note] = choice.notes
    assert note == "no weights of timm: HF_HUB_OFFLINE is set"


def test_a_model_that_is_given_is_taken(tmp_path: Path) -> None:
    choice = choose(DIGITS, "resnet18")
    assert (choice.backbone, choice.pretrained) == (BACKBONES["resnet18"], False)
    choice = choose(model="timm/vit_tiny_patch16_224")
    assert (choice.pretrained, choice.is_fixed) == (False, True)
    [note] = choice.notes
    assert note.startswith("trained from scratch: the weights of")
    weights = str(tmp_path / "mine.safetensors")
    choice = choose_model(PHOTOS, CPU, "quick", f"{LITE}.in1k", weights)
    assert (choice.name, choice.pretrained, choice.weights_side) == (f"{LITE}.in1k", weights, 224)
    assert choice.backbone.stages == BACKBONES[LITE].stages


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("resnet21", None, 'name: unknown name, found "resnet21"; did you mean "resnet20"?'),
        ("timm/resnet188", None, 'timm has no model "resnet188"; did you mean "timm/resnet18'),
        ("torchvision/resnet19", None, 'torchvision has no model "resnet19"'),
        ("timm/resnet18", "weights.zip", "must be true, false or the path of a file"),
        (None, "weights.pt", "--weights needs --model"),
    ],
)
def test_a_model_that_there_is_not_is_refused(
    model: str | None, weights: str | None, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        choose_model(PHOTOS, CPU, "quick", model, weights)
    assert message in str(raised.value)
