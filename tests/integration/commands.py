"""Runs the `sweep` command inside the test's process, where torch and Ray are loaded already."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from sweeps.cli.main import main


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [*map(str, args)])


def refusal(*args: object) -> str:
    """Returns the error of a command with bad input, which must not create any file."""
    before = set(Path.cwd().rglob("*"))
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert isinstance(result.exception, SystemExit)
    assert set(Path.cwd().rglob("*")) == before
    return result.stderr
