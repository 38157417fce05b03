"""The program `sweep`, also without an installation: `python sweeps/cli list experiments`.

A key press in a shell is answered from a file with all commands, because importing them takes most
of a second.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(prog_name: str | None = None) -> None:
    """Runs the command, or prints what a shell may complete a command line to."""
    from sweeps.cli.shell.scripts import PROGRAM, VARIABLE

    if os.environ.get(VARIABLE):
        from sweeps.cli.shell.command_tree import read_commands

        read_commands().main(prog_name=PROGRAM)
    from sweeps.cli.main import main as command

    command(prog_name=prog_name)


if __name__ == "__main__":
    if __spec__ is not None and __spec__.parent:  # python -m sweeps.cli
        main(f"python -m {__spec__.parent}")
    else:
        # See sweeps/run.py: imports are relative to the folder above the packages.
        sys.path[0] = str(Path(__file__).resolve().parents[2])
        main("python sweeps/cli")
