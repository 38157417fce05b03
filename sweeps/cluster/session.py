"""The Ray session: starting one, what it can hold, and what one trial takes of it."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray._private import ray_constants, services
from ray.exceptions import RayError, RayTaskError

from sweeps.cluster.code_package import JOINED_LIMIT, own_code, with_directory
from sweeps.cluster.placement import Booking, places, spread
from sweeps.spec.settings import Resources
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import print_line, ray_output_enabled
from sweeps.terminal.formatting import format_size
from trainable.signals import SIGNALS

T = TypeVar("T")

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Keeps Tune quiet, and its snapshots rare: they are only a cache here. What the user has set
stays."""

WORKER_ENVIRONMENT = {name: ENVIRONMENT[name] for name in ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",)}
"""What a cluster's workers need of it; those of a Ray of our own inherit all."""

LOCAL = "local"
REACH_S = 10
LETTING_GO_S = 2.0
"""Until cards that an earlier sweep of this process has held count as free."""


@dataclass(frozen=True)
class Joining:
    """Which Ray a sweep runs on, and what a cluster is sent for it."""

    address: str | None = None
    """`auto` or HOST:PORT; None means `RAY_ADDRESS`, or a Ray of this machine's own."""
    user_code: Path | None = None
    """A directory whose code the trials import."""
    leave_out: tuple[Path, ...] = ()
    """Directories below it that are no code."""


def start_ray(joining: Joining = Joining()) -> None:
    """Starts Ray on this machine, or joins a cluster.

    A session that is already there is used as it is.

    Raises:
        SweepError: The cluster cannot be joined, or the code for it is too large.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # It names the trials that did not end well, which the sweep has said already.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return
    atexit.register(_die_of_signals)  # what is registered later comes earlier: before Ray's own
    shown: dict[str, Any] = {
        "logging_level": logging.INFO if ray_output_enabled() else logging.ERROR,
        "log_to_driver": ray_output_enabled(),
    }
    address = joining.address or os.environ.get("RAY_ADDRESS") or LOCAL
    if address != LOCAL:
        _join(address, joining, shown)
        return
    root = str(Path(__file__).resolve().parents[2])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        # Without an installation the workers would find `trainable` only from this directory.
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    with _loopback_only():
        ray.init(address=LOCAL, include_dashboard=False, **shown)


def _die_of_signals() -> None:
    """Gives signals their usual effect, now that the process ends.

    Ray's handler would break off Ray's own shutdown, after which the process may crash.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _join(address: str, joining: Joining, shown: dict[str, Any]) -> None:
    if "://" in address:
        raise SweepError(
            f"--address {address}: give auto or the head's HOST:PORT; "
            f"to send the sweep there as a job: sweep submit FILE --address http://HOST:8265"
        )
    try:
        _reach(address)
        with tempfile.TemporaryDirectory() as folder:
            environment = _environment(joining, Path(folder) / "code.zip")
            ray.init(address=address, runtime_env=environment, **shown)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())
        raise SweepError(
            f"--address {address}: cannot be joined: {reason} (a cluster that wants a token is "
            "joined with RAY_AUTH_MODE=token)"
        ) from error


def _environment(joining: Joining, archive: Path) -> dict[str, Any]:
    """What the cluster's workers get besides what a job came with: Ray takes nothing twice."""
    job = _environment_of_the_job()
    there = job.get("env_vars") or {}
    variables = {k: v for k, v in WORKER_ENVIRONMENT.items() if k not in there}
    environment: dict[str, Any] = {"env_vars": variables}
    if not job.get("working_dir"):
        parcel = own_code()
        if joining.user_code is not None:
            parcel = with_directory(parcel, joining.user_code, joining.leave_out)
        parcel.check(JOINED_LIMIT)
        parcel.write(archive)
        environment["working_dir"] = str(archive)
        print_line(f"sending {format_size(parcel.size)} of code to the cluster")
    return environment


def _reach(address: str) -> None:
    """Raises OSError where nobody listens; Ray would try that for twenty minutes."""
    found = services.canonicalize_bootstrap_address(address)
    if found is None:
        raise ConnectionError("there is no cluster on this machine")
    host, _, port = found.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S):
        pass


def _environment_of_the_job() -> dict[str, Any]:
    """What a Ray job came with, where this process is the entry point of one."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return job.get("runtime_env") or {}


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Makes a Ray of this machine's own listen on 127.0.0.1 alone, as it does on macOS.

    Elsewhere it would listen on every interface. The variable is for the processes it starts.
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


def trial_share(resources: Resources) -> tuple[dict[str, float], str | None]:
    """What one trial takes of the cluster, and what is to be said about it.

    On a cluster without any GPU the trials train on the CPU.

    Raises:
        SweepError: The cluster can never hold one trial.
    """
    there = machines()
    share = {"cpu": float(resources.cpu), "gpu": float(resources.gpu)}
    notice = None
    if share["gpu"] and not any(machine.get("GPU") for machine in there):
        notice = f"no GPU in this cluster: resources.gpu {share['gpu']:g} is taken as 0"
        share["gpu"] = 0.0
    for name, key in (("CPU", "cpu"), ("GPU", "gpu")):
        largest = max((machine.get(name, 0.0) for machine in there), default=0.0)
        if share[key] > largest:
            raise SweepError(
                f"resources.{key}: one trial asks for {share[key]:g}, "
                f"the cluster has {largest:g} on one machine"
            )
    if not any(places(share, machine) for machine in there):
        raise SweepError(
            f"resources: one trial asks for {share['cpu']:g} CPUs and {share['gpu']:g} GPUs, "
            "no machine of the cluster has both"
        )
    return share, notice


def slots(share: dict[str, float]) -> int:
    """How many trials the cluster holds at once; one is never spread over machines or cards."""
    return max(1, sum(places(share, machine) for machine in machines()))


def booking(share: dict[str, float], at_once: int) -> Booking:
    """What trials book of the cluster, so that they use all its cards before they share one.

    Where others hold cards already, a trial books what it needs and no more: with less room than
    the cluster has in all, fewer trials would run at once.

    Args:
        share: What a trial needs.
        at_once: Trials that run at once.
    """
    until = time.monotonic() + LETTING_GO_S
    while not (free := _cards_are_free()) and time.monotonic() < until:
        time.sleep(0.2)
    return spread(share, machines(), at_once) if free else Booking(share)


def _cards_are_free() -> bool:
    free, there = ray.available_resources(), ray.cluster_resources()
    return bool(free.get("GPU", 0.0) >= there.get("GPU", 0.0))


def on_a_card(work: Callable[[], T]) -> T:
    """Does a piece of work in a process that has a card of the cluster to itself."""
    task: Any = ray.remote(_done).options(num_cpus=0, num_gpus=1)
    try:
        result: T = ray.get(task.remote(work))
    except RayTaskError as error:
        raise error.cause from None
    return result


def _done(work: Callable[[], T]) -> T:
    return work()


def several_nodes() -> bool:
    """Whether the cluster is more than one machine."""
    return len(machines()) > 1


def machines() -> list[dict[str, float]]:
    """What each machine of the cluster has, as Ray names it: `CPU`, `GPU`."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
