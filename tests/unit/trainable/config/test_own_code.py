"""Where the user's own code is looked for, and what is said of code that is not there."""

import importlib
import sys
from pathlib import Path

import pytest

from trainable.config import own_code
from trainable.config.own_code import (
    add_code_directories,
    add_directories_of,
    check_own_code,
    code_directories,
    is_own_code,
)


@pytest.fixture(autouse=True)
def _same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the directories of one test from the next."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own_code, "_directories", [])


def test_a_module_is_found_in_the_first_of_the_directories(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
        (directory / "own_code_of_a_test.py").write_text(f"PLACE = {directory.name!r}\n")
    assert check_own_code("own_code_of_a_test:Net", allowed=True) is not None
    add_code_directories([first, second / ".." / "first", second])
    assert code_directories() == [str(first), str(second)]
    assert check_own_code("own_code_of_a_test:Net", allowed=True) is None
    assert importlib.import_module("own_code_of_a_test").PLACE == "first"
    del sys.modules["own_code_of_a_test"]


def test_directories_that_only_this_process_looks_in_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a notebook and a script in another directory have them in `sys.path`."""
    for name in ("mine", "shared"):
        (tmp_path / name / f"{name}_package").mkdir(parents=True)
        (tmp_path / name / f"{name}_package" / "__init__.py").touch()
        (tmp_path / name / f"{name}_module.py").touch()
        sys.path.append(str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shared"))
    add_directories_of(["shared_module:net", "shared_package.a:net", "torch.nn:Linear", "no:net"])
    assert code_directories() == []
    add_directories_of(["mine_package.models:net", "mine_module:net"])
    assert code_directories() == [str(tmp_path / "mine")]


def test_own_code_needs_consent_and_built_in_models_do_not() -> None:
    assert is_own_code("net:Net")
    assert check_own_code("resnet20", allowed=False) is None
    problem = check_own_code("net:Net", allowed=False)
    assert problem is not None
    assert "add --allow-custom-model on the command line" in problem.rule


def test_a_missing_module_is_named_with_the_directories(tmp_path: Path) -> None:
    add_code_directories([tmp_path])
    problem = check_own_code("no_such_package_here.net:Net", allowed=True)
    assert problem is not None
    assert "there is no module no_such_package_here.net" in problem.rule
    assert f"no_such_package_here/net.py must be in {tmp_path} or on PYTHONPATH" in problem.rule
