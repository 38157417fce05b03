"""Looks at limits, memory, CPUs and the directories that Ray and the caches use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from sweeps.cluster.placement import usable_cpus
from sweeps.cluster.start_checks import (
    MAX_DIRECTORY_BYTES,
    THREADS,
    THREADS_PER_CPU,
    choose_directory,
    find_low_limits,
)
from sweeps.doctor.check import Check
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.formatting import format_size
from trainable.data.cache.memory import CGROUP, available_memory, machine_memory
from trainable.data.loader.shared_memory import DEVICE as SHARED_MEMORY

GIB = 2**30
FULL_SHARE = 0.95
"""Share of a disk in use from which Ray creates no more objects."""
SHARED_SHARE = 0.3
"""Share of the memory that Ray wants for its objects in shared memory."""
BUSY_SHARE = 0.85
"""Share of the memory in use from which little is left: Ray ends trials at 95 %."""


def check_machine() -> Iterator[Check]:
    """Yields the checks of limits, CPUs, memory and directories."""
    low = [Check("limits", "problem", one.text, one.remedy) for one in find_low_limits()]
    low += _check_process_count()
    enough = Check("limits", "ok", "open files, processes and address space are enough for Ray")
    yield from low or [enough]
    yield from _check_cpus()
    yield _check_memory()
    yield _check_shared_memory()
    yield from _check_temporary_directory()
    yield _check_home()


def _check_process_count() -> Iterator[Check]:
    limit = _read_limit(CGROUP / "pids.max")
    needed = THREADS + THREADS_PER_CPU * (os.cpu_count() or 1)
    if limit is not None and limit < needed:
        yield Check(
            "limits",
            "problem",
            f"this container may have {limit} processes and threads, Ray needs {needed}",
            f"docker run --pids-limit {needed} or more",
        )


def _check_cpus() -> Iterator[Check]:
    total = os.cpu_count() or 1
    usable = usable_cpus()
    if usable >= total:
        yield Check("CPUs", "ok", str(total))
        return
    yield Check(
        "CPUs",
        "warning",
        f"this process may use {usable:g} of {total}; Ray may start a trial for each of them",
        f"tune.max_concurrent_trials: {max(1, int(usable))} in the search file",
    )


def _check_memory() -> Check:
    total, available = machine_memory(), min(machine_memory(), available_memory())
    text = f"{format_size(total)}, {format_size(available)} of it available"
    if available < (1 - BUSY_SHARE) * total:
        remedy = "end other programs, or run fewer trials at a time (tune.max_concurrent_trials)"
        return Check("memory", "warning", f"{text}: Ray ends trials when 5 % are left", remedy)
    return Check("memory", "ok", text)


def _check_shared_memory() -> Check:
    if not SHARED_MEMORY.is_dir():
        return Check("shared memory", "ok", f"this system has no {SHARED_MEMORY}")
    usage = shutil.disk_usage(SHARED_MEMORY)
    text = f"{SHARED_MEMORY} has {format_size(usage.free)} free of {format_size(usage.total)}"
    if usage.free < SHARED_SHARE * min(machine_memory(), available_memory()):
        gib = ceil(SHARED_SHARE * machine_memory() / GIB)
        remedy = f"docker run --shm-size {gib}g; or dataset.num_workers: 0"
        text += ": loader processes may die, and Ray keeps objects on the disk"
        return Check("shared memory", "warning", text, remedy)
    return Check("shared memory", "ok", text)


def _check_temporary_directory() -> Iterator[Check]:
    remedy = f"export RAY_TMPDIR=DIR, where DIR/ray has at most {MAX_DIRECTORY_BYTES} characters"
    try:
        directory, reason = choose_directory()
    except SweepError as error:
        yield Check("temporary files", "problem", str(error), remedy)
        return
    if reason is not None:
        text = f"Ray's files are in {directory}: {reason}"
        yield Check("temporary files", "warning", text, remedy)
        return
    usage, space = describe_disk(directory)
    if usage > FULL_SHARE:
        text = f"Ray's files are in {directory}, {space}: Ray stops when 5 % are left"
        yield Check("temporary files", "warning", text, f"free space there, or {remedy}")
    else:
        yield Check("temporary files", "ok", f"Ray's files are in {directory}, {space}")


def _check_home() -> Check:
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("~")
    if os.access(home, os.W_OK):
        return Check("home", "ok", f"{home} can be written")
    return Check(
        "home",
        "warning",
        f"{home} cannot be written: weights and decoded images are loaded anew by every sweep",
        "export HOME=DIR, or XDG_CACHE_HOME and HF_HOME",
    )


def describe_disk(path: Path) -> tuple[float, str]:
    """Returns the used share of a path's disk, and its free space as text."""
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    usage = shutil.disk_usage(existing)
    text = f"{format_size(usage.free)} free of {format_size(usage.total)}"
    return usage.used / max(1, usage.used + usage.free), text


def _read_limit(path: Path) -> int | None:
    """Returns the number in a control group's file; None without a limit."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
