"""Printed commands work as they are printed: quoted, from here, as this process was started."""

import os
import runpy
import shlex
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
        ("cli", "pause", [Path("d")], "sweeps/cli pause d"),
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


@pytest.mark.parametrize("start", ["sweeps/run.py", "sweeps/restore.py", "sweeps/cli"])
def test_the_help_of_a_script_names_it_and_its_imports_begin_at_the_root(
    start: str,
    working_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process; cli/test_main.py starts another one."""
    monkeypatch.setattr(sys, "argv", [str(ROOT / start), "--help"])
    monkeypatch.setattr(sys, "path", [str(ROOT / "sweeps"), *sys.path])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / start), run_name="__main__")
    printed = capsys.readouterr()
    assert (end.value.code, printed.err) == (0, "")
    assert printed.out.startswith(f"Usage: python {start} ")
    assert sys.path[0] == str(ROOT)
    assert list(working_directory.iterdir()) == []


def test_the_help_names_the_module_that_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep", "--help"])
    monkeypatch.delitem(sys.modules, "sweeps.cli.__main__", raising=False)
    with pytest.raises(SystemExit):
        runpy.run_module("sweeps.cli", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().out.startswith("Usage: python -m sweeps.cli [OPTIONS] COMMAND")


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


def test_a_link_to_the_own_program_is_typed_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `uv tool install` makes one."""
    for folder in ("own", "links"):
        (tmp_path / folder).mkdir()
    program, link = tmp_path / "own" / "sweep", tmp_path / "links" / "sweep"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "own" / "python").symlink_to(sys.executable)
    (tmp_path / "links" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "links"))
    assert sweep_command("run", "x") == f"{program} run x"
    link.symlink_to(program)
    assert sweep_command("run", "x") == "sweep run x"
    train = train_command(Path("x.yaml"))
    assert train.startswith(str(tmp_path / "own" / "python")), "it is of another environment"


def test_training_without_an_installation_names_the_clone(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_is_installed", lambda: False)
    command = train_command(Path("x.yaml"), allow_custom_model=True)
    assert command == f"PYTHONPATH={ROOT} {PYTHON} -m trainable x.yaml --allow-custom-model"
    monkeypatch.chdir(ROOT)
    assert train_command(Path("x.yaml")) == f"{PYTHON} -m trainable x.yaml"
