"""`python -m tests.gpu.smoke [GROUP...]`: every CUDA path once, against the CPU or an eager one.

Prints a line per check. Groups run at once, each in a process of its own: what a failed recording
or a lost context breaks is its own group's. `SMOKE_DEVICE=cpu` rehearses the checks that work
without a GPU; `SMOKE_TRACE=1` shows tracebacks; `SMOKE_LIMIT` is the seconds they may take.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUPS = ("basic", "graphs", "failures", "leaks", "packed", "recipe", "compiled")
LIMIT_S = float(os.environ.get("SMOKE_LIMIT", "300"))
OK, FAIL, NEEDS_GPU = "ok  ", "FAIL", "--  "
ON_CPU = os.environ.get("SMOKE_DEVICE") == "cpu"
LENGTH = 150
"""Characters of a check's findings that are printed."""


def run(group: str) -> None:
    """Runs the checks of a group in this process.

    Args:
        group: One of `GROUPS`.
    """
    from tests.gpu.checks.common import NeedsGpuError

    checks = importlib.import_module(f"tests.gpu.checks.{group}").CHECKS
    for name, check in checks.items():
        started = time.perf_counter()
        try:
            outcome, text = OK, check()
        except NeedsGpuError:
            outcome, text = NEEDS_GPU, "needs a GPU"
        except BaseException as error:  # noqa: BLE001 (the other checks are still to be done)
            message = str(error).strip().splitlines()
            outcome, text = FAIL, f"{type(error).__name__}: {message[0] if message else ''}"
            if os.environ.get("SMOKE_TRACE"):
                traceback.print_exc()
        seconds = time.perf_counter() - started
        print(f"{outcome} {group:9}{name:22}{seconds:6.1f} s  {text[:LENGTH]}", flush=True)
    sys.stdout.flush()
    os._exit(0)  # a worker's own thread has no end


def run_all(groups: list[str]) -> bool:
    """Runs groups at once, each in a process; returns whether every check passed.

    Args:
        groups: Some of `GROUPS`.
    """
    errors = None if os.environ.get("SMOKE_TRACE") else subprocess.DEVNULL
    processes = {
        group: subprocess.Popen(
            [sys.executable, "-m", "tests.gpu.smoke", "--here", group],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if ON_CPU else {})},
        )
        for group in groups
    }
    deadline, passed = time.monotonic() + LIMIT_S, True
    for group, process in processes.items():
        try:
            output, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"{FAIL} {group:9}not through in {LIMIT_S:.0f} s\n"
        else:
            if process.returncode:
                output += (
                    f"{FAIL} {group:9}its process ended with exit code {process.returncode}\n"
                )
        print(output, end="", flush=True)
        passed = passed and FAIL not in [line[:4] for line in output.splitlines()]
    return passed


def main() -> None:
    """Runs what the command line names, or all groups."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.smoke", description=__doc__)
    parser.add_argument("--here", action="store_true", help="one group, in this process")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    options = parser.parse_args()
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)} (there are: {', '.join(GROUPS)})")
    if options.here:
        run(options.groups[0])
    sys.exit(not run_all(options.groups or list(GROUPS)))


if __name__ == "__main__":
    main()
