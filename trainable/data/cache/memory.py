"""Main memory that is available, also in a container."""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Returns the bytes of main memory that can be used without swapping.

    Pages that hold the content of files count as available, because the system gives them up.
    """
    available = 2**63
    with suppress(OSError, ValueError, TypeError):
        available = _read_number(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB") * 1024
    with suppress(OSError, ValueError, TypeError):
        limit = int((CGROUP / "memory.max").read_text())
        used = _read_number(CGROUP / "memory.stat", r"^anon (\d+)")
        available = min(available, max(0, limit - used))
    return available


def machine_memory() -> int:
    """Returns the bytes of main memory that this process may use at most."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int((CGROUP / "memory.max").read_text()))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return total if limit == resource.RLIM_INFINITY else min(total, limit)


def usable_share() -> float:
    """Returns the part of main memory that other programs leave to this process, 1 for all."""
    own = 0
    with suppress(OSError, ValueError):
        own = _read_number(Path("/proc/self/status"), r"^RssAnon:\s+(\d+) kB") * 1024
    return min(1.0, (available_memory() + own) / machine_memory())


def name_machine() -> str:
    """Returns the CPU as a device with its memory: `cpu (15.6 GiB)`."""
    return f"cpu ({machine_memory() / 2**30:.1f} GiB)"


def mapped_memory(name: str) -> int:
    """Returns the bytes of this process's memory that are pages of files of a name.

    They are part of the memory of every process that maps them, but exist once.

    Args:
        name: Name of a file without its directory.
    """
    total, counts = 0, False
    with suppress(OSError), Path("/proc/self/smaps").open(encoding="utf-8") as lines:
        for line in lines:
            if "-" in line.partition(" ")[0]:  # a mapping: address, rights, ..., path
                counts = line.rstrip().endswith(f"/{name}")
            elif counts and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def _read_number(path: Path, pattern: str) -> int:
    match = re.search(pattern, path.read_text(), re.MULTILINE)
    if match is None:
        raise ValueError(f"{path} has no {pattern}")
    return int(match[1])
