"""A wheel has all that a user without the clone needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast

import hatchling.build
import pytest

from tests.support.source_files import ROOT

pytestmark = pytest.mark.slow

NOT_CODE = {"__pycache__", "aliases"}
TYPED = """\
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.init.examples import find_directory

assert str(find_directory()) == f"{site}/sweeps/examples", find_directory()
for words in (["init", "--example", "digits_asha"], ["validate", "search.yaml"]):
    print(CliRunner().invoke(main, words).output)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    here = Path.cwd()
    os.chdir(ROOT)  # PEP 517: a build backend is called in the project's directory
    try:
        return directory / cast("str", hatchling.build.build_wheel(str(directory)))
    finally:
        os.chdir(here)


def test_a_wheel_has_all_files_of_both_packages_and_the_configs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in ("sweeps", "trainable")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not NOT_CODE & set(path.parts)
    }
    configs = (path for path in (ROOT / "configs").rglob("*") if path.is_file())
    expected |= {f"sweeps/examples/{path.relative_to(ROOT / 'configs')}" for path in configs}
    assert names == expected
    assert {"sweeps/py.typed", "trainable/py.typed"} <= names


def test_its_metadata_names_the_licence_by_spdx_and_the_version_of_the_package(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(name).decode().splitlines()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    import sweeps

    assert f"Version: {sweeps.__version__}" in lines
    assert {"License-Expression: MIT", "Requires-Python: >=3.11"} <= set(lines)


def test_the_examples_of_a_wheel_are_written_and_valid(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", f"site = {str(site)!r}\n{TYPED}"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "search.yaml: valid; 16 trials over 3 keys" in done.stdout
    assert {path.name for path in work.iterdir()} == {
        "search.yaml", "training.yaml", "search.schema.json", "training.schema.json",
    }  # fmt: skip
