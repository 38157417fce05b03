"""Versions and extras, as `sweep doctor` reports them."""

import tomllib

import pytest

from sweeps.doctor import packages
from sweeps.doctor.packages import (
    EXTRAS,
    RAY,
    RAY_REQUIREMENT,
    check_packages,
    parse_torch_build,
)
from tests.support.source_files import ROOT


def test_the_packages_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert RAY_REQUIREMENT in project["dependencies"]
    minors = range(int(RAY[0].partition(".")[2]), int(RAY[-1].partition(".")[2]) + 1)
    assert [f"2.{minor}" for minor in minors] == list(RAY)
    assert f"ray[tune]>={RAY[0]},<2.{minors.stop}" == RAY_REQUIREMENT
    declared = project["optional-dependencies"]
    assert declared["cluster"] == [RAY_REQUIREMENT.replace("tune", "default")]
    assert EXTRAS.keys() == declared.keys() - {"dev", "docs"}
    for extra, names in EXTRAS.items():
        if extra != "cluster":
            assert [name.split(">=")[0] for name in declared[extra]] == list(names)
    assert {check.state for check in check_packages()} == {"ok"}
    missing = {"ray": "not installed", "torch": "not installed", "wandb": "not installed"}
    monkeypatch.setattr(packages, "version_of", lambda name: missing.get(name, "1.0"))
    assert [(check.name, check.state) for check in check_packages()] == [
        ("versions", "ok"),
        ("Ray", "problem"),
        ("torch", "problem"),
        ("extras", "ok"),
    ]
    _, ray, _, extras = check_packages()
    assert (ray.found, ray.remedy) == (
        "version not installed, not 2.58 to 2.60",
        'pip install "ray[tune]>=2.58,<2.61"',
    )
    assert extras.remedy == 'to use them: pip install "tune-sweeps[wandb]"'


def test_torchs_build_is_read_from_its_file() -> None:
    text = (
        "from typing import Optional\n__version__ = '2.8.0+cu128'\ndebug = False\n"
        "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n"
    )
    assert parse_torch_build(text) == {"__version__": "2.8.0+cu128", "cuda": "12.8"}
