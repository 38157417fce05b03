"""What a sweep runs on: Python, machine, cards and the git state of the working directory."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 5
"""A tool that does not answer is left out."""


def describe_environment() -> dict[str, str]:
    """What it is -> how it is called; what cannot be found out is left out."""
    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": platform.node(),
        "cpus": f"{os.cpu_count()} x {_cpu_name()}",
        "memory": _memory(),
        "gpus": _answer(
            "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"
        ),
        **_git(),
    }
    return {name: text for name, text in found.items() if text}


def being_described() -> Callable[[], dict[str, str]]:
    """Begins to describe the environment beside whatever comes next; the answer is waited for.

    The tools that are asked take as long as they like, and nothing hangs on what they say.
    """
    found: dict[str, str] = {}
    asking = threading.Thread(target=lambda: found.update(describe_environment()), daemon=True)
    asking.start()

    def answer() -> dict[str, str]:
        asking.join()
        return found

    return answer


def _git() -> dict[str, str]:
    """Commit and branch of the working directory, and whether files differ from the commit."""
    commit = _answer("git", "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _answer("git", "status", "--porcelain").splitlines()
    return {
        "git commit": commit,
        "git branch": _answer("git", "rev-parse", "--abbrev-ref", "HEAD"),
        "git state": f"files changed since: {len(changed)}" if changed else "clean",
    }


def _answer(*command: str) -> str:
    """What a command prints, without outer blanks; nothing if there is none or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.1f} GiB"
    return ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return []
