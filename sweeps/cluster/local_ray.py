"""Starts a Ray for one sweep on this machine, which only this machine can reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    _enable_token_auth,
)

from sweeps.cluster.ray_process import RayProcess
from sweeps.sweep_dir.errors import SweepError

LOCAL = "local"

_processes: list[RayProcess] = []
"""The local Ray of this process, if it runs."""


def start_local(options: dict[str, Any]) -> None:
    """Starts Ray on this machine, for this process.

    Args:
        options: Options of `ray.init` that concern its output.

    Raises:
        SweepError: Ray does not start.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        # Lets workers import `trainable` if it is not installed.
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    if AUTH_MODE_ENV_VAR not in os.environ:
        _enable_token_auth()  # as `ray.init` does for a Ray that it starts
    try:
        with _loopback_only():
            process = RayProcess(
                {"include_dashboard": False, "include_log_monitor": options["log_to_driver"]}
            )
            _processes.append(process)
            ray.init(address=process.address, **options)
    except Exception as error:  # Ray raises no narrower class
        end_local()
        reason = " ".join(str(error).split())
        raise SweepError(
            f"Ray could not start on this machine: {reason} If the machine is busy, try again; "
            "--verbose prints Ray's own messages"
        ) from error


def end_local() -> None:
    """Leaves Ray and ends the processes that `start_local` has started."""
    ray.shutdown()
    while _processes:
        _processes.pop().end()


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Lets a local Ray listen on 127.0.0.1 only, as it does by default on macOS.

    On other systems Ray listens on every interface. Its processes read the environment variable.
    """
    before, name = ray_constants.ENABLE_RAY_CLUSTER, ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER = False
    variable = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable
