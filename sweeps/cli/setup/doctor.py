"""The command that looks at this machine: doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from sweeps.cli.options import AS_JSON, FINISHED, PATH_OR_URI, exits
from sweeps.cli.shell.parameter_types import SweepPath
from sweeps.terminal.console import print_json, print_line, print_wrapped
from trainable.uri import is_uri

DEFAULT_PLACE = "experiments"
BLOCKED = 1
"""Exit code: something keeps sweeps from running."""


@click.command()
@click.argument("sweep", required=False, type=SweepPath())
@click.option(
    "--dir",
    "place",
    type=PATH_OR_URI,
    default=DEFAULT_PLACE,
    show_default=True,
    help="Directory whose file system is looked at: that of your sweeps (checkpoint.dir).",
)
@AS_JSON
@exits
def doctor(sweep: str | None, place: str, as_json: bool) -> int:
    """Says what this machine has and lacks for sweeps.

    Looks at versions, GPUs, memory, limits, directories and the network settings, and with SWEEP
    at the file system of that sweep. Each line says what was found and, where something is amiss,
    what to do. Starts and sends nothing. Exits with 1 if something keeps sweeps from running.

    Example: sweep doctor --dir experiments
    """
    from sweeps.doctor.diagnosis import diagnose

    directory = place if sweep is None else sweep
    checks = list(diagnose(None if is_uri(directory) else Path(directory)))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            line = f"{check.state:<8} {check.name:<{width}}  {check.found}"
            print_wrapped(line, indent=8 + 1 + width + 2)
            if check.remedy is not None:
                print_line(f"{'':<8} {'':<{width}}  > {check.remedy}")
    return BLOCKED if any(check.state == "problem" for check in checks) else FINISHED
