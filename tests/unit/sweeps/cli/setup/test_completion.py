"""The scripts for shells: their installation, and bash itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.cli.setup.completion import INSTALL, NEEDS
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.unit.sweeps.cli.test_main import invoke


@pytest.mark.parametrize("shell", INSTALL)
def test_the_script_and_the_help_say_how_it_is_installed(shell: str) -> None:
    result, described = invoke("completion", shell), invoke("completion", "--help").stdout
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("#compdef sweep\n") == (shell == "zsh")
    for line in (*INSTALL[shell], *NEEDS[shell]):
        assert re.search(rf"^# +{re.escape(line.strip())}$", result.stdout, re.MULTILINE)
        assert re.search(rf"^ +{re.escape(line.strip())}$", described, re.MULTILINE)


@pytest.mark.parametrize("shell", INSTALL)
def test_the_command_installs_it_in_a_new_account(
    shell: str, tmp_path: Path, project_environment: dict[str, str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sweep").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bin" / "sweep").chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    home = tmp_path / "home"
    home.mkdir()
    environment = {**project_environment, "HOME": str(home), "PATH": path}
    subprocess.run(["sh", "-ec", "\n".join(INSTALL[shell])], env=environment, check=True)
    (script,) = [file for file in home.rglob("*") if file.is_file()]
    assert script.read_text(encoding="utf-8") == f"completion {shell}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "experiments/digits", "0000"], "0000aaaa"),
        (["pau"], "pause"),
        (["run", "--set", "tune.see"], "tune.seed= -o nospace"),
        (["run", "conf"], "configs/ -o nospace"),
        (["status", "nothing"], "-o dirnames"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(
    words: list[str],
    expected: str,
    working_directory: Path,
    project_environment: dict[str, str],
) -> None:
    FakeSweep(Path("experiments", "digits"), trials=1, space=ONE_KEY, tune={}).write()
    Path("configs").mkdir()
    script = invoke("completion", "bash").stdout
    calls = (
        "compopt() { options=$*; }\n"
        f"COMP_WORDS=(sweep {' '.join(words)}); COMP_CWORD={len(words)}\n"
        "_sweep_completion sweep; echo ${COMPREPLY[@]} $options"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{calls}"],
        env={**project_environment, "PATH": _path_with_sweep()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{expected}\n")


def test_zsh_adds_no_space_behind_an_unfinished_word() -> None:
    assert "compadd -U -S '' -V unfinished" in invoke("completion", "zsh").stdout


def _path_with_sweep() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
