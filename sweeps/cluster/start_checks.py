"""Finds out before Ray starts what of this machine would keep it from starting.

Ray itself fails late and without the cause, or ends the process that uses it.
"""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.formatting import format_size

MAX_SOCKET_BYTES = 107
"""Longest path of a socket on Linux; macOS allows fewer."""
SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Longest path of a socket below Ray's directory."""
MAX_DIRECTORY_BYTES = MAX_SOCKET_BYTES - len(SOCKET)
REQUIRED_BYTES = 2**20
"""Free space for Ray's first logs."""
SHARED_DIRECTORIES = ("/tmp", "/var/tmp")
"""Where Ray's directory may be if the user's TMPDIR does not do."""

FILES, FILES_PER_CPU = 80, 4
"""Open files of one of Ray's processes, and how many more for each CPU, which has a worker."""
THREADS, THREADS_PER_CPU = 150, 30
"""Threads of Ray's processes and the driver, and of each worker."""
ADDRESS_SPACE_BYTES = 8 * 2**30
"""Address space of a worker that has imported torch; most of it is never used."""
SMALL_STORE_BYTES = 256 * 2**20
"""Size of Ray's object store under a limit of the address space; every process maps it."""


@dataclass(frozen=True)
class LowLimit:
    """A limit of this process that is too low for Ray."""

    text: str
    remedy: str
    """A command for the shell."""


def find_low_limits() -> list[LowLimit]:
    """Returns the limits of this process, which Ray's processes inherit, that are too low."""
    cpus = os.cpu_count() or 1
    limits = [
        (resource.RLIMIT_NOFILE, "open files", "n", FILES + FILES_PER_CPU * cpus, 1),
        (resource.RLIMIT_NPROC, "processes and threads", "u", THREADS + THREADS_PER_CPU * cpus, 1),
        (resource.RLIMIT_AS, "address space in KiB", "v", ADDRESS_SPACE_BYTES // 1024, 1024),
    ]
    low = []
    for kind, what, option, needed, unit in limits:
        soft, hard = resource.getrlimit(kind)
        limit = hard if kind == resource.RLIMIT_NOFILE else soft  # Ray itself raises that one
        if kind == resource.RLIMIT_NPROC and os.geteuid() == 0:
            continue  # does not apply to root
        if limit != resource.RLIM_INFINITY and limit < needed * unit:
            text = f"the limit of {what} is {limit // unit}, Ray needs {needed} on {cpus} CPUs"
            remedy = f"ulimit -{option} {needed if option != 'v' else 'unlimited'}"
            low.append(LowLimit(text, remedy))
    return low


def check_limits() -> None:
    """Checks the limits of this process, which Ray's processes inherit.

    Raises:
        SweepError: A limit is too low; the message names all of them and how to raise them.
    """
    problems = [f"{low.text} (raise it: {low.remedy})" for low in find_low_limits()]
    if problems:
        raise SweepError(f"Ray cannot start on this machine: {'; '.join(problems)}")


def choose_store_bytes() -> int | None:
    """Returns the size of Ray's object store; None leaves the choice to Ray."""
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return SMALL_STORE_BYTES if limited else None


def choose_directory() -> tuple[Path, str | None]:
    """Chooses the directory of Ray's sockets and logs.

    Returns:
        The directory, and why it is not the one in the user's directory for temporary files.

    Raises:
        SweepError: No directory can be used; the message names each with its reason.
    """
    usual = Path(temporary_directory()).absolute() / "ray"
    reason = describe_problem(usual)
    if reason is None:
        return usual, None
    problems = [f"{usual} {reason}"]
    for parent in SHARED_DIRECTORIES:
        directory = Path(parent) / f"ray-{os.geteuid()}"
        other = describe_problem(directory)
        if other is None:
            return directory, f"{usual} {reason}"
        problems.append(f"{directory} {other}")
    raise SweepError(
        f"Ray cannot start on this machine: it has no directory for its files: "
        f"{'; '.join(problems)} (set RAY_TMPDIR to a directory with a short path)"
    )


def describe_problem(directory: Path) -> str | None:
    """Returns why a directory cannot be Ray's, for a sentence that begins with it."""
    if len(os.fsencode(directory)) > MAX_DIRECTORY_BYTES:
        return f"has more than {MAX_DIRECTORY_BYTES} characters, too many for Ray's sockets"
    if directory.is_symlink() or directory.exists():
        if not directory.is_dir():
            return "is not a directory"
        if {directory.lstat().st_uid, directory.stat().st_uid} != {os.geteuid()}:
            return "belongs to another user"
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(os.urandom(REQUIRED_BYTES))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return f"has no space: Ray needs {format_size(REQUIRED_BYTES)} at least"
        return f"cannot be written: {error.strerror}"
    return None


def temporary_directory() -> str:
    """Returns the directory in which Ray makes its own, by Ray's rule."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
