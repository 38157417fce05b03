"""Describes what a sweep runs on: Python, machine, GPUs and git state of the directory."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path

from sweeps.terminal.programs import read_output


def describe_environment() -> dict[str, str]:
    """Returns property -> description; properties that cannot be read are left out."""
    properties = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": platform.node(),
        "cpus": f"{os.cpu_count()} x {_cpu_name()}",
        "memory": _memory(),
        "gpus": read_output(
            "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"
        ),
        **_git_state(),
    }
    return {name: text for name, text in properties.items() if text}


def start_describing() -> Callable[[], dict[str, str]]:
    """Starts to describe the environment in a thread, because the commands may be slow.

    Returns:
        A function that waits for the description and returns it.
    """
    description: dict[str, str] = {}
    thread = threading.Thread(
        target=lambda: description.update(describe_environment()), daemon=True
    )
    thread.start()

    def wait() -> dict[str, str]:
        thread.join()
        return description

    return wait


def _git_state() -> dict[str, str]:
    """Commit and branch of the working directory, and the number of changed files."""
    commit = read_output("git", "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = read_output("git", "status", "--porcelain").splitlines()
    return {
        "git commit": commit,
        "git branch": read_output("git", "rev-parse", "--abbrev-ref", "HEAD"),
        "git state": f"files changed since: {len(changed)}" if changed else "clean",
    }


def _cpu_name() -> str:
    for line in _read_lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    for line in _read_lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.1f} GiB"
    return ""


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
