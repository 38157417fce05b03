"""Asks the driver of a running sweep to pause it."""

from __future__ import annotations

from pathlib import Path

from sweeps.storage.location import upload
from sweeps.storage.lock import is_running
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout


def request_pause(directory: Path) -> bool:
    """Asks the driver to pause the sweep; its running trials finish their epoch first.

    Returns:
        Whether a driver runs the sweep.

    Raises:
        SweepError: The directory is not writable.
        StorageError: The store does not accept the request.
    """
    if not is_running(directory):
        return False
    stop_file = SweepLayout(directory).stop_file
    try:
        stop_file.touch()
    except OSError as error:
        raise SweepError(f"{directory}: cannot be written to: {error.strerror}") from error
    upload(stop_file)
    return True
