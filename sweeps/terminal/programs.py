"""Reads the output of other programs, such as `nvidia-smi`."""

from __future__ import annotations

import shutil
import subprocess

TIMEOUT_S = 5
"""Longest time that a program may take, if it is not called with another one."""


def read_output(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Returns the output of a command, stripped; empty if it is missing, fails or takes long.

    Args:
        command: The program and its arguments.
        timeout_s: Longest time that it may take.
    """
    if shutil.which(command[0]) is None:
        return ""
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip() if completed.returncode == 0 else ""
