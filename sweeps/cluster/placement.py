"""Computes how many trials fit on a machine and how they share its GPUs.

Imports neither Ray nor torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trainable.data.cache.memory import CGROUP

NVIDIA_SMI_TIMEOUT_S = 20
GPU_UNITS = 10_000
"""Ray counts fractions of a GPU in units of 1 / `GPU_UNITS`."""


@dataclass(frozen=True)
class Reservation:
    """Resources that trials reserve from Ray, so that they spread over GPUs."""

    share: Mapping[str, float]
    """CPUs and GPUs that one trial reserves: `cpu`, `gpu`."""
    alone: int = 0
    """Number of concurrent trials that reserve a whole GPU instead."""


def trials_per_machine(share: Mapping[str, float], machine: Mapping[str, float]) -> int:
    """Returns how many trials fit on a machine; a fraction of a GPU is never split over two.

    Args:
        share: CPUs and GPUs of one trial: `cpu`, `gpu`.
        machine: The machine's resources under Ray's names: `CPU`, `GPU`.
    """
    trials = int(machine.get("CPU", 0.0) / share["cpu"] + 1e-9)
    gpu, gpus = share["gpu"], machine.get("GPU", 0.0)
    if gpu:
        trials = min(trials, trials_per_gpu(gpu) * int(gpus) if gpu < 1 else int(gpus / gpu))
    return trials


def trials_per_gpu(gpu: float) -> int:
    """Returns how many trials with this fraction of a GPU fit on one."""
    return int(1 / gpu + 1e-9)


def spread_over_gpus(
    share: Mapping[str, float], machines: Sequence[Mapping[str, float]], concurrent: int
) -> Reservation:
    """Returns a reservation with which trials use all GPUs before they share one.

    Ray fills one GPU before it uses the next. Each trial therefore reserves the largest fraction
    of a GPU with which all concurrent trials still fit. Since the trials hold what they reserve,
    Ray gives no part of their GPU to other work, and frees the GPU of a trial that has died.

    Args:
        share: CPUs and GPUs that one trial needs: `cpu`, `gpu`.
        machines: The machines' resources under Ray's names.
        concurrent: Number of trials that run concurrently.
    """
    if not 0 < share["gpu"] < 1:
        return Reservation(share)
    reserved, per_gpu = dict(share), trials_per_gpu(share["gpu"])
    for fewer in range(1, per_gpu):
        larger = {**share, "gpu": int(GPU_UNITS / fewer) / GPU_UNITS}
        if sum(trials_per_machine(larger, machine) for machine in machines) >= concurrent:
            reserved, per_gpu = larger, fewer
            break
    gpus = [int(machine.get("GPU", 0.0)) for machine in machines if machine.get("GPU")]
    if per_gpu == 1 or len(gpus) != 1:  # Ray chooses the machine of a trial with a whole GPU
        return Reservation(reserved)
    return Reservation(reserved, max(0, (per_gpu * gpus[0] - concurrent) // (per_gpu - 1)))


def usable_cpus() -> float:
    """Returns the CPUs that this process may use: of the machine, its affinity and its quota."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quota = float("inf")
    with suppress(OSError, ValueError):
        limit, period = (CGROUP / "cpu.max").read_text(encoding="utf-8").split()
        quota = int(limit) / int(period)
    return min(total, allowed, quota)


def this_machine() -> dict[str, float]:
    """Returns the resources of this machine under Ray's names, with the GPUs of `nvidia-smi`."""
    return {"CPU": float(os.cpu_count() or 1), "GPU": float(_count_gpus())}


def _count_gpus() -> int:
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        completed = subprocess.run(
            [command, "-L"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    listed = sum(line.startswith("GPU ") for line in completed.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return listed
    names = [name.strip() for name in visible.split(",")]
    allowed = names.index("-1") if "-1" in names else len([name for name in names if name])
    return min(listed, allowed)
