"""Starts a Ray for one sweep on this machine, which only this machine can reach."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from sweeps.cluster.ray_process import RayProcess, RayStartError
from sweeps.cluster.ray_token import remove_own_token, set_own_token
from sweeps.cluster.start_checks import check_limits, choose_directory, choose_store_bytes
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import print_line

LOCAL = "local"
CONTROL_WAIT = "RAY_gcs_server_port_wait_time_s"
"""Environment variable: Ray's limit for the start of its control service, by default 30 s."""
LONGER_WAIT_S = 120
MAX_REASON_CHARS = 300
"""Longest text of Ray's that a message contains."""

_processes: list[RayProcess] = []
"""The local Ray of this process, if it runs."""


def start_local(options: dict[str, Any]) -> None:
    """Starts Ray on this machine, for this process.

    Args:
        options: Options of `ray.init` that concern its output.

    Raises:
        SweepError: Ray does not start; the message says why and what to do.
    """
    check_limits()
    directory, reason = choose_directory()
    if reason is not None:
        print_line(f"note: Ray's own files are in {directory}: {reason}")
    root = str(Path(__file__).resolve().parents[2])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        # Lets workers import `trainable` if it is not installed.
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    set_own_token()
    parameters = {
        "include_dashboard": False,
        "include_log_monitor": options["log_to_driver"],
        "no_monitor": True,  # the autoscaler's
        # Trials cannot use the workers that Ray starts at once, one per CPU: Tune gives its own an
        # environment.
        "_system_config": {"prestart_worker_first_driver": False},
        "object_store_memory": choose_store_bytes(),
        "temp_dir": str(directory),
    }
    try:
        with _loopback_only():
            process = _start_process(parameters)
            _processes.append(process)
            ray.init(address=process.address, **options)
    except Exception as error:  # Ray raises no narrower class
        end_local()
        raise SweepError(
            f"Ray could not start on this machine: {_shorten(error)} "
            f"(its logs: {directory}/session_latest/logs; --verbose prints its own messages)"
        ) from error


def _start_process(parameters: dict[str, Any]) -> RayProcess:
    """Starts Ray's processes; once more, with more time, if the machine was too slow."""
    try:
        return RayProcess(parameters)
    except RayStartError as error:
        if "timed out" not in str(error).lower():
            raise
    print_line("note: Ray did not start in time; starting it once more")
    try:
        with _environment({CONTROL_WAIT: os.environ.get(CONTROL_WAIT, str(LONGER_WAIT_S))}):
            return RayProcess(parameters)
    except RayStartError as error:
        raise RayStartError(
            "it did not start in time, twice: is the machine too busy, or a limit too low? "
            f"{_shorten(error)}",
            error.kind,
        ) from error


def _shorten(error: Exception) -> str:
    """Returns an error as one line of limited length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MAX_REASON_CHARS else text[:MAX_REASON_CHARS] + " ..."


def is_local() -> bool:
    """Returns whether `start_local` has started the Ray of this process."""
    return bool(_processes)


def end_local() -> None:
    """Leaves Ray and ends the processes that `start_local` has started."""
    ray.shutdown()
    while _processes:
        _processes.pop().end()
    remove_own_token()


def kill_local() -> None:
    """Kills what is left of a local Ray that has died, so that its workers write no more."""
    for process in _processes:
        process.kill()


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Lets a local Ray listen on 127.0.0.1 only, as it does by default on macOS.

    On other systems Ray listens on every interface. Its processes read the environment variable.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets environment variables as long as the context lasts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        set_variables(before)


def set_variables(variables: Mapping[str, str | None]) -> None:
    """Sets environment variables; those that are None are removed."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
