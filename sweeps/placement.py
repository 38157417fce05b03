"""How many trials a machine holds at once, and what machine this is; without Ray and torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

NVIDIA_SMI_S = 20


def places(share: Mapping[str, float], machine: Mapping[str, float]) -> int:
    """How many trials one machine holds; one is never spread over machines or cards.

    Args:
        share: What one trial takes: `cpu`, `gpu`.
        machine: What there is, as Ray names it: `CPU`, `GPU`.
    """
    found = int(machine.get("CPU", 0.0) / share["cpu"] + 1e-9)
    gpu, cards = share["gpu"], machine.get("GPU", 0.0)
    if gpu:
        found = min(found, int(1 / gpu + 1e-9) * int(cards) if gpu < 1 else int(cards / gpu))
    return found


def this_machine() -> dict[str, float]:
    """CPUs and cards of this machine, as Ray names them; cards are those of `nvidia-smi`."""
    return {"CPU": float(os.cpu_count() or 1), "GPU": float(_cards())}


def _cards() -> int:
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        done = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    named = [name.strip() for name in visible.split(",")]
    allowed = named.index("-1") if "-1" in named else len([name for name in named if name])
    return min(found, allowed)
