"""Main memory that is available, also in a container."""

from __future__ import annotations

import re
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
