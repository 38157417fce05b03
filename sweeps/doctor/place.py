"""Looks at the file system that sweeps are written to."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sweeps.doctor.check import Check
from sweeps.doctor.machine import FULL_SHARE, describe_disk
from trainable.atomic_files import fsync

NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs")
"""Beginnings of the types of file systems of other machines."""
LEAST_BYTES = 2**29
"""Free space below which no trial saves, with the default of `keep.min_free_gib`."""


def check_place(directory: Path) -> Iterator[Check]:
    """Yields the checks of the disk and file system of a directory, which need not exist."""
    try:
        existing = directory.absolute()
        while not existing.is_dir() and existing != existing.parent:
            existing = existing.parent
    except OSError as error:  # a name that is too long, or a directory of another user
        text = f"{directory} cannot be used: {error.strerror}"
        yield Check("file system", "problem", text, "set checkpoint.dir to another directory")
        return
    yield _check_space(existing)
    kind = file_system(existing)
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".doctor.") as probe:
            failures = list(_try_operations(Path(probe)))
    except OSError as error:
        text = f"{existing} cannot be written: {error.strerror}"
        yield Check("file system", "problem", text, "set checkpoint.dir to another directory")
        return
    yield from failures
    if kind.startswith(NETWORK):
        yield Check(
            "file system",
            "warning",
            f"{existing} is on a network disk ({kind}): locks and renames may be seen late",
            "keep sweeps on a local disk, or in object storage: checkpoint.dir: s3://BUCKET/NAME",
        )
    elif not failures:
        operations = "locks, hard links, renames and flushes work"
        yield Check("file system", "ok", f"{existing} ({kind or 'unknown type'}): {operations}")


def _check_space(existing: Path) -> Check:
    usage, space = describe_disk(existing)
    text = f"{existing} has {space}"
    if shutil.disk_usage(existing).free < LEAST_BYTES:
        text += ": no trial could save (keep.min_free_gib: 0.5)"
        return Check("disk", "problem", text, "free space, or set checkpoint.dir to another disk")
    if usage > FULL_SHARE:
        return Check("disk", "warning", text, "free space; sweep plan FILE forecasts what is used")
    return Check("disk", "ok", text)


def _try_operations(probe: Path) -> Iterator[Check]:
    """Yields a check for each operation that does not work in an empty directory."""
    first, second = probe / "first", probe / "second"
    first.write_bytes(b"x")
    name = "file system"
    try:
        with first.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = f"files cannot be locked ({error.strerror}): two drivers could run one sweep"
        yield Check(name, "problem", text, "set checkpoint.dir to another disk")
    try:
        os.link(first, second)
    except OSError as error:
        text = f"no hard links ({error.strerror}): latest.pt and best.pt are copies"
        yield Check(name, "warning", text, "expect up to three times the space for checkpoints")
    try:
        first.replace(second)
    except OSError as error:
        text = f"files cannot be renamed ({error.strerror}): checkpoints cannot be saved"
        yield Check(name, "problem", text, "set checkpoint.dir to another disk")
    try:
        fsync(probe)
    except OSError as error:
        text = f"directories cannot be flushed ({error.strerror}): checkpoints cannot be saved"
        yield Check(name, "problem", text, "set checkpoint.dir to another disk")


def file_system(path: Path, mounts: str | None = None) -> str:
    """Returns the type of a path's file system; empty if it is not known.

    Args:
        path: An absolute path.
        mounts: The content of `/proc/mounts`, by default that of this machine.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    longest, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            longest, kind = len(point.parts), fields[2]
    return kind
