"""Runs all checks of `sweep doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sweeps.doctor.check import Check
from sweeps.doctor.gpus import check_gpus
from sweeps.doctor.machine import check_machine
from sweeps.doctor.network import check_network
from sweeps.doctor.packages import check_packages
from sweeps.doctor.place import check_place


def diagnose(directory: Path | None) -> Iterator[Check]:
    """Yields all checks of this machine; changes nothing and sends nothing anywhere.

    Args:
        directory: Where sweeps are written; None for object storage, which is not looked at.
    """
    yield from check_packages()
    yield from check_gpus()
    yield from check_machine()
    yield from check_network()
    if directory is not None:
        yield from check_place(directory)
