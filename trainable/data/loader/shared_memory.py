"""Shared memory, through which loader processes pass their batches (`/dev/shm`).

A container often has 64 MiB of it, whatever the machine has.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DEVICE = Path("/dev/shm")
PREFETCHED_BATCHES = 2
"""Batches that each loader process prepares ahead; torch's default."""
MIB = 2**20

_ERROR = re.compile(
    r"shared memory|/dev/shm|file </?torch_\w+>|signal: Bus error",
    re.IGNORECASE,
)
"""Texts of torch's errors where shared memory is full; some also say `No space left on device`."""

REMEDY = (
    "batches are loaded without loader processes; give the container more shared memory "
    "(docker run --shm-size 2g) or set dataset.num_workers: 0"
)


def is_shared_memory_error(text: str) -> bool:
    """Returns whether an error's text says that shared memory is full."""
    return _ERROR.search(text) is not None


def find_shortage(batch_bytes: int, workers: int) -> str | None:
    """Returns why so many loader processes cannot be used, or None if they can.

    Args:
        batch_bytes: Size of one batch.
        workers: Number of loader processes.
    """
    needed = workers * PREFETCHED_BATCHES * batch_bytes
    if not needed or not DEVICE.is_dir():
        return None
    free = shutil.disk_usage(DEVICE).free
    if free >= needed:
        return None
    return (
        f"{DEVICE} (shared memory) has {free / MIB:.1f} MiB free, {workers} loader processes need "
        f"{needed / MIB:.1f} MiB: {REMEDY}"
    )
