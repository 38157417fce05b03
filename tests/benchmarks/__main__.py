"""`python -m tests.benchmarks [--profile NAME] [ids...]`: measures and prints a table.

Both sides of a ratio run in one process tree, in turn. Run it on a machine that does nothing else.
Profiles: `cpu`; `gpu`, hours; `gpu-quick`, a quarter of an hour; `rehearsal`, whether all runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.profiles import PROFILES, Benchmark
from tests.benchmarks.sides import Figure, NeedsCudaError


def device() -> str:
    """Names the device that the figures were measured on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on."""
    numbers = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "ray", "numpy"):
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers


def measured(name: str, benchmark: Benchmark) -> list[Figure] | None:
    """Measures a benchmark and prints its figures.

    Returns:
        None where it failed; no figures where it needs another device.
    """
    try:
        figures = benchmark.run()
    except NeedsCudaError:
        print(f"{name:<4}needs a GPU", flush=True)
        return []
    except Exception as error:  # noqa: BLE001 (the others are still to be measured)
        last_line = str(error).strip().rpartition("\n")[2]
        print(f"FAIL {name}: {type(error).__name__}: {last_line}", flush=True)
        return None
    for figure in figures:
        print(figure.line(), flush=True)
    return figures


def main() -> None:
    """Measures what the command line names, or all of the profile."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file; none by default")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    benchmarks = PROFILES[options.profile]
    unknown = [name for name in options.ids if name not in benchmarks]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)} (there are: {', '.join(benchmarks)})")
    about = {"date": str(date.today()), "device": device(), "versions": versions()}
    print(f"{about['date']}  {about['device']}  load {os.getloadavg()[0]:.1f}", flush=True)
    figures: list[dict[str, object]] = []
    failed = False
    for name in options.ids or benchmarks:
        row = measured(name, benchmarks[name])
        failed = failed or row is None
        figures += [asdict(figure) for figure in row or []]
        if options.output is not None:  # the figures so far, should a later benchmark hang
            text = json.dumps({**about, "figures": figures}, indent=2)
            options.output.write_text(text + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
