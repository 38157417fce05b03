"""Tests of the names of models of libraries."""

from __future__ import annotations

import sys

import pytest

from trainable.config.library_names import check_timm_is_installed, split_name, unknown_name


def test_a_name_is_split_into_architecture_and_tag() -> None:
    assert split_name("timm/resnet18") == ("resnet18", "")
    assert split_name("timm/resnet18.a1_in1k") == ("resnet18", "a1_in1k")


def test_the_nearest_name_is_named() -> None:
    [problem] = unknown_name("timm/resnet19", "timm has no model", ["vgg11", "resnet18"]).problems
    assert problem.rule == 'timm has no model "resnet19"; did you mean "timm/resnet18"?'


def test_a_missing_timm_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "path", [])
    assert check_timm_is_installed("torchvision/resnet18") is None
    assert check_timm_is_installed("resnet18") is None
    problem = check_timm_is_installed("timm/resnet18")
    assert problem is not None
    assert problem.rule == (
        '"timm/resnet18" needs timm, which is not installed: pip install "tune-sweeps[timm]"'
    )
