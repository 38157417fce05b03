"""How many trials a machine holds at once, how they share its cards, and what machine this is.

Without Ray and torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NVIDIA_SMI_S = 20
UNITS = 10_000
"""Of a card, the smallest part that Ray counts in."""


@dataclass(frozen=True)
class Booking:
    """What trials book, so that they spread over cards."""

    share: Mapping[str, float]
    """What a trial books: `cpu`, `gpu`."""
    alone: int = 0
    """How many of the trials at once book a whole card instead."""


def places(share: Mapping[str, float], machine: Mapping[str, float]) -> int:
    """How many trials one machine holds; one is never spread over machines or cards.

    Args:
        share: What one trial takes: `cpu`, `gpu`.
        machine: What there is, as Ray names it: `CPU`, `GPU`.
    """
    found = int(machine.get("CPU", 0.0) / share["cpu"] + 1e-9)
    gpu, cards = share["gpu"], machine.get("GPU", 0.0)
    if gpu:
        found = min(found, per_card(gpu) * int(cards) if gpu < 1 else int(cards / gpu))
    return found


def per_card(gpu: float) -> int:
    """How many trials, each with this fraction, a card holds."""
    return int(1 / gpu + 1e-9)


def spread(
    share: Mapping[str, float], machines: Sequence[Mapping[str, float]], at_once: int
) -> Booking:
    """What trials book so that they use all cards before they share one.

    Ray fills a card before it begins another one. So a trial books as much of a card as leaves
    room for all that run at once: nobody else then is given what a trial has not booked, Ray's
    books are right, and a card that a dead trial held is free by Ray's own doing.

    Args:
        share: What a trial needs: `cpu`, `gpu`.
        machines: The cluster's, as Ray names what they have.
        at_once: Trials that run at once.
    """
    if not 0 < share["gpu"] < 1:
        return Booking(share)
    booked, each = dict(share), per_card(share["gpu"])
    for fewer in range(1, each):
        wider = {**share, "gpu": int(UNITS / fewer) / UNITS}
        if sum(places(wider, machine) for machine in machines) >= at_once:
            booked, each = wider, fewer
            break
    cards = [int(machine.get("GPU", 0.0)) for machine in machines if machine.get("GPU")]
    if each == 1 or len(cards) != 1:  # on several machines nobody says where the whole ones go
        return Booking(booked)
    return Booking(booked, max(0, (each * cards[0] - at_once) // (each - 1)))


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
