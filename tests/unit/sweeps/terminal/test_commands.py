"""Printed commands work as they are printed: quoted, from here, as this process was started."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.terminal import commands, console
from sweeps.terminal.commands import quote_word, sweep_command, train_command

ROOT = Path(__file__).parents[4]
PYTHON = "python"
"""Name that the tests' interpreter has in its directory, besides `python3`."""


@pytest.fixture
def start_as(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this process one that was started with the given script."""
    return lambda script: monkeypatch.setattr(sys, "argv", [str(script), "search.yaml"])


def test_a_path_is_typed_relative_to_the_working_directory(working_directory: Path) -> None:
    directory = working_directory / "my experiments" / "it's"
    (word,) = shlex.split(quote_word(directory))
    assert word == "my experiments/it's"
    assert quote_word(Path("/elsewhere/sweep")) == "/elsewhere/sweep"
    assert quote_word(Path("-x")) == "./-x"
    assert quote_word(working_directory / "sweep", absolute=True) == f"{working_directory}/sweep"


def test_a_path_in_a_mirror_becomes_its_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_uris", {tmp_path: lambda name: f"s3://b/mine/{name}?a=1&b=2"})
    assert quote_word(tmp_path / "x" / "best.pt") == "'s3://b/mine/x/best.pt?a=1&b=2'"


def test_the_options_that_a_command_needs_are_added() -> None:
    command = sweep_command(
        "resume", Path("digits"), allow_custom_model=True, address="10.0.0.1:6379"
    )
    assert command == "sweep resume digits --allow-custom-model --address 10.0.0.1:6379"


@pytest.mark.parametrize(
    ("script", "verb", "words", "expected"),
    [
        ("run.py", "resume", [Path("d")], "sweeps/run.py --resume d"),
        ("run.py", "resume", [Path("d"), "--num-samples", "8"],
         "sweeps/cli resume d --num-samples 8"),
        ("restore.py", "restore", [Path("x.pt"), "--epochs", "4"],
         "sweeps/restore.py x.pt --epochs 4"),
        ("run.py", "eval", [Path("x.pt")], "sweeps/cli eval x.pt"),
        ("cli", "stop", [Path("d")], "sweeps/cli stop d"),
        ("cli/__main__.py", "run", [Path("s.yaml")], "sweeps/run.py s.yaml"),
    ],
)  # fmt: skip
def test_a_script_prints_commands_that_need_no_installation(
    script: str,
    verb: str,
    words: list[str | Path],
    expected: str,
    start_as: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    start_as(Path("sweeps", script))
    assert sweep_command(verb, *words) == f"{PYTHON} {expected}"


def test_a_script_that_was_started_elsewhere_is_named_by_its_path(
    start_as: Callable[..., None], working_directory: Path
) -> None:
    start_as(ROOT / "sweeps" / "run.py")
    assert sweep_command("retry", Path("d")) == f"{PYTHON} {ROOT}/sweeps/cli retry d"


@pytest.mark.parametrize(
    "script",
    [
        "run.py",
        *(pytest.param(script, marks=pytest.mark.slow) for script in ("cli", "restore.py")),
    ],
)
def test_the_scripts_that_are_named_exist_and_run_from_any_directory(
    script: str, working_directory: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "sweeps" / script), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: python sweeps/{script}" in done.stdout
    assert list(working_directory.iterdir()) == []


def test_a_program_that_the_shell_would_not_find_is_named_by_its_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", os.defpath)
    assert train_command(Path("x.yaml")) == f"{folder / PYTHON} -m trainable x.yaml"
    assert sweep_command("list").split()[0] in {"sweep", str(folder / "sweep")}
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.defpath]))
    assert train_command(Path("x.yaml")) == f"{PYTHON} -m trainable x.yaml"
    assert sweep_command("list") == "sweep list"


def test_training_without_an_installation_names_the_clone(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_is_installed", lambda: False)
    command = train_command(Path("x.yaml"), allow_custom_model=True)
    assert command == f"PYTHONPATH={ROOT} {PYTHON} -m trainable x.yaml --allow-custom-model"
    monkeypatch.chdir(ROOT)
    assert train_command(Path("x.yaml")) == f"{PYTHON} -m trainable x.yaml"
