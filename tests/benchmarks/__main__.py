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
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import checkpoints, controller, crashes, epoch, loader, packing
from tests.benchmarks.sides import Figure, NeedsCudaError

Benchmark = Callable[[], Figure | list[Figure]]

COMMON: dict[str, Benchmark] = {
    "E4": loader.e4,
    "C1": checkpoints.c1,
    "C2": checkpoints.c2,
    "C3": checkpoints.c3,
    "T1": controller.t1,
    "T2": controller.t2,
    "T3": controller.t3,
    "T4": controller.t4,
    "R1": crashes.r1,
}
PROFILES: dict[str, dict[str, Benchmark]] = {
    # Where the goal is a card's, the small form only shows that the benchmark works.
    "cpu": {
        "E1": lambda: epoch.against_plain("E1", "resnet20", 1280, 0, ">= 1"),
        "E2": lambda: epoch.against_plain("E2", "resnet18", 128, 0, "(GPU)"),
        "E3": lambda: epoch.against_airbench("E3", "resnet20", 1280, "(GPU)"),
        "E5": lambda: epoch.among_layouts("E5", "resnet20", 1280),
        "P1": lambda: packing.p1("resnet20", 512, 0, 2, "(GPU)"),
        "P2": lambda: packing.p2("resnet20", 512, [2], "(GPU)"),
        "P4": lambda: packing.p4("resnet20", 512, 2),
        **COMMON,
    },
    "h200": {
        "E1": lambda: epoch.against_plain("E1", "resnet20", 50_000, 8, ">= 8"),
        "E2": lambda: epoch.against_plain("E2", "resnet18", 50_000, 8, ">= 3"),
        "E3": lambda: [
            epoch.against_airbench("E3", "resnet20", 50_000, ">= 2"),
            epoch.against_airbench("E3", "resnet18", 50_000, ">= 1.1"),
        ],
        "P1": lambda: packing.p1("resnet20", 50_000, 8, 16, ">= 15"),
        "P2": lambda: [
            *packing.p2("resnet20", 50_000, [2, 4, 8, 16], ">= 2.5"),
            *packing.p2("resnet18", 50_000, [2, 4], ">= 1.3"),
        ],
        "P4": lambda: packing.p4("resnet20", 50_000, 8),
        **COMMON,
    },
}


def device() -> str:
    """What the figures were taken on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU"


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    found = {name: version(name) for name in ("torch", "torchvision", "ray", "numpy")}
    return {"python": platform.python_version(), **found}


def measured(name: str, benchmark: Benchmark) -> list[Figure]:
    """A benchmark's figures, each told; none where it needs another device."""
    try:
        found = benchmark()
    except NeedsCudaError:
        print(f"{name:<4}needs a CUDA device", flush=True)
        return []
    figures = found if isinstance(found, list) else [found]
    for figure in figures:
        print(figure.line(), flush=True)
    return figures


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
    about = {"date": str(date.today()), "device": device(), "versions": versions()}
    print(f"{about['date']}  {about['device']}  load {os.getloadavg()[0]:.1f}", flush=True)
    figures: list[dict[str, object]] = []
    for name in options.ids or known:
        figures += [asdict(figure) for figure in measured(name, known[name])]
        if options.output is not None:  # what there is, should a later one fail
            text = json.dumps({**about, "figures": figures}, indent=2)
            options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
