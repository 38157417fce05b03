"""`python -m tests.benchmarks [--profile cpu|h200] [ids...]`: measures and prints a table.

Both sides of a ratio run in one process tree, in turn. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path

from tests.benchmarks import checkpoints, controller, epoch, loader
from tests.benchmarks.sides import Figure

Benchmark = Callable[[], Figure]

COMMON: dict[str, Benchmark] = {
    "E4": loader.e4,
    "C1": checkpoints.c1,
    "C2": checkpoints.c2,
    "C3": checkpoints.c3,
    "T1": controller.t1,
    "T2": controller.t2,
    "T3": controller.t3,
    "T4": controller.t4,
}
PROFILES: dict[str, dict[str, Benchmark]] = {
    "cpu": {"E1": lambda: epoch.epoch("E1", "resnet20", 1280, 0, ">= 1"), **COMMON},
    "h200": {
        "E1": lambda: epoch.epoch("E1", "resnet20", 50_000, 8, ">= 8"),
        "E2": lambda: epoch.epoch("E2", "resnet18", 50_000, 8, ">= 3"),
        **COMMON,
    },
}


def device() -> str:
    """What the figures were taken on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU"


def main() -> None:
    """Runs what the command line names, or all of the profile."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file; none by default")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    known = PROFILES[options.profile]
    unknown = [name for name in options.ids if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)} (known: {', '.join(known)})")
    print(f"{date.today()}  {device()}", flush=True)
    figures = []
    for name in options.ids or known:
        figures.append(known[name]())
        print(figures[-1].line(), flush=True)
    if options.output is not None:
        found = {"date": str(date.today()), "device": device()}
        rows = [asdict(figure) for figure in figures]
        options.output.write_text(json.dumps({**found, "figures": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
