"""Clipping equals torch's and timm's."""

import pytest
import torch
from torch import nn

from trainable.config.sections.training import ClipGrad
from trainable.optim.clipping import build_clipping


def make(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5), nn.Linear(5, 2)
    )
    model(torch.randn(6, 3, 5, 5)).square().sum().mul(10).backward()
    return model


def gradients(model):
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(
    ("config", "clip"),
    [
        (ClipGrad(norm=0.5), lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.5)),
        (ClipGrad(norm=1e9), lambda m: None),
        (ClipGrad(value=0.1), lambda m: nn.utils.clip_grad_value_(m.parameters(), 0.1)),
    ],
)
def test_norm_and_value_are_torchs(config, clip):
    ours, theirs = make(), make()
    build_clipping(config, ours)()
    clip(theirs)
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=0, atol=0)


def test_adaptive_clipping_is_timms_without_the_classifier():
    agc = pytest.importorskip("timm.utils.agc")
    ours, theirs, before = make(), make(), gradients(make())
    build_clipping(ClipGrad(agc=0.01), ours)()
    agc.adaptive_clip_grad([*theirs[:4].parameters()], 0.01)
    torch.testing.assert_close(gradients(ours), gradients(theirs))
    for ours_after, original in zip(gradients(ours)[-2:], before[-2:], strict=True):
        assert torch.equal(ours_after, original)
    assert not torch.equal(gradients(ours)[0], before[0])


@pytest.mark.parametrize("config", [ClipGrad(norm=0.5), ClipGrad(value=0.1), ClipGrad(agc=0.01)])
def test_parameters_without_a_gradient_are_left_out(config):
    model = make()
    model[0].weight.grad = None
    build_clipping(config, model)()
    assert model[0].weight.grad is None


def test_no_clipping_is_none():
    assert build_clipping(None, make()) is None
    assert build_clipping(ClipGrad(), make()) is None


def test_one_kind_is_given():
    with pytest.raises(ValueError, match="must have one of norm, value and agc, found norm, agc"):
        ClipGrad(norm=1.0, agc=0.1)
