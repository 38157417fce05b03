"""Starts or joins Ray, and computes how many trials it holds and what they reserve."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray._private import services
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.cluster.code_package import JOIN_LIMIT_BYTES, add_modules, add_user_code, project_code
from sweeps.cluster.local_ray import LOCAL, start_local
from sweeps.cluster.placement import Reservation, spread_over_gpus, trials_per_machine
from sweeps.cluster.ray_token import check_token, show_token
from sweeps.cluster.storage_check import storage_credentials
from sweeps.spec.settings import Resources
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.console import print_line, ray_output_enabled
from sweeps.terminal.formatting import format_size
from trainable.config.own_code import add_code_directories, code_directories
from trainable.signals import SIGNALS

T = TypeVar("T")

ENVIRONMENT = {
    # Threads that wait for work let others have the core. Spinning, they slow small operations
    # of trials that share cores down several times.
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Paths that a user gives to code of their own are relative to where the sweep is started.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Environment variables of trials, and those that keep Tune quiet and its snapshots, which are
only a cache, rare.

Variables that the user has set are kept."""

WORKER_ENVIRONMENT = {
    name: ENVIRONMENT[name] for name in ("OMP_WAIT_POLICY", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO")
}
"""The part that workers of a cluster need; workers of a local Ray inherit all variables."""

WEIGHTS_VARIABLES = ("HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TORCH_HOME")
"""Environment variables that say where the weights of models are; workers get the driver's."""

CONNECT_TIMEOUT_S = 10
GPU_RELEASE_TIMEOUT_S = 2.0
"""Longest wait for the GPUs that an earlier sweep of this process held."""


@dataclass(frozen=True)
class RayConnection:
    """The Ray session that a sweep runs on, and the code that a cluster receives."""

    address: str | None = None
    """`auto` or HOST:PORT; None means `RAY_ADDRESS` or, without it, a local Ray."""
    user_code: tuple[Path, ...] = ()
    """Directories with code that the trials import: of the first one all files are sent, of
    others modules only."""
    excludes: tuple[Path, ...] = ()
    """Directories below `user_code` that are not sent."""


def start_ray(connection: RayConnection = RayConnection()) -> None:
    """Starts Ray on this machine or joins a cluster.

    Does nothing if Ray is already initialized in this process.

    Raises:
        SweepError: Ray does not start, the cluster cannot be joined, or the code for it is too
            large.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Tune would list failed trials, which the sweep has already printed.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    address = connection.address or os.environ.get("RAY_ADDRESS") or LOCAL
    _refuse_job_server(address, connection.address)
    if ray.is_initialized():
        if connection.address not in {None, LOCAL}:
            _refuse_unreachable(address)
        return
    options: dict[str, Any] = {
        "logging_level": logging.INFO if ray_output_enabled() else logging.ERROR,
        "log_to_driver": ray_output_enabled(),
    }
    if address != LOCAL:
        _join(address, connection, options)
    else:
        start_local(options)
    atexit.unregister(_reset_signal_handlers)
    atexit.register(_reset_signal_handlers)  # the last one runs first: before Ray is ended


def _reset_signal_handlers() -> None:
    """Gives signals the operating system's default action while the process exits.

    Ray's handlers would interrupt Ray's own shutdown, after which the process may crash.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _refuse_job_server(address: str, option: str | None) -> None:
    """Raises SweepError if the address is that of a cluster's job server."""
    if "://" in address:
        command = sweep_command("submit", "FILE", "--address", address)
        raise SweepError(
            f"{_name_source(address, option)}: give auto or the head's HOST:PORT; "
            f"to send the sweep there as a job: {command}{_describe_local(option)}"
        )


def _join(address: str, connection: RayConnection, options: dict[str, Any]) -> None:
    show_token()
    try:
        check_token(_check_reachable(address))
        with tempfile.TemporaryDirectory() as folder:
            runtime_env = _make_runtime_env(connection, Path(folder) / "code")
            ray.init(address=address, runtime_env=runtime_env, **options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise _cannot_join(address, connection.address, error) from error


def _refuse_unreachable(address: str) -> None:
    """Raises SweepError if there is no cluster at the address."""
    try:
        _check_reachable(address)
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot_join(address, address, error) from error


def _cannot_join(address: str, option: str | None, error: Exception) -> SweepError:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    remedy = ""
    if isinstance(error, PermissionError):
        remedy = "; set RAY_AUTH_TOKEN to the cluster's, or RAY_AUTH_TOKEN_PATH to a file with it"
    source, local = _name_source(address, option), _describe_local(option)
    return SweepError(f"{source}: cannot be joined: {reason}{remedy}{local}")


def _name_source(address: str, option: str | None) -> str:
    """Returns where an address comes from: the option `--address` or the environment."""
    variable = os.environ.get("RAY_ADDRESS")
    if option is None:
        return f"RAY_ADDRESS={address} in the environment"
    if option == "auto" and variable:  # Ray takes the variable for it
        return f"--address auto, which is RAY_ADDRESS={variable} in the environment"
    return f"--address {option}"


def _describe_local(option: str | None) -> str:
    """Returns how to run on this machine, if only the environment says otherwise."""
    if option is None or (option == "auto" and os.environ.get("RAY_ADDRESS")):
        return "; to run the sweep on this machine: unset RAY_ADDRESS"
    return ""


def _make_runtime_env(connection: RayConnection, working_dir: Path) -> dict[str, Any]:
    """Returns the `runtime_env` of the cluster's workers.

    Ray does not accept a key that the job of this process has already set, so those are left out.
    """
    job = _job_runtime_env()
    job_variables = job.get("env_vars") or {}
    weights = {name: os.environ[name] for name in WEIGHTS_VARIABLES if name in os.environ}
    own = WORKER_ENVIRONMENT | weights
    variables = {k: v for k, v in own.items() if k not in job_variables}
    runtime_env: dict[str, Any] = {"env_vars": variables}
    if not job.get("working_dir"):
        package = project_code()
        for number, directory in enumerate(connection.user_code):
            add = add_modules if number else add_user_code
            package = add(package, directory, connection.excludes)
        package.check_size(JOIN_LIMIT_BYTES)
        package.link_into(working_dir)
        runtime_env["working_dir"] = str(working_dir)
        print_line(f"sending {format_size(package.size)} of code to the cluster")
    return runtime_env


def _check_reachable(address: str) -> str:
    """Returns the head's HOST:PORT.

    Raises:
        OSError: Nothing listens there; Ray would retry for twenty minutes.
    """
    head = services.canonicalize_bootstrap_address(address)
    if head is None:
        raise ConnectionError("there is no cluster on this machine")
    host, _, port = head.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S):
        return str(head)


def _job_runtime_env() -> dict[str, Any]:
    """Returns the `runtime_env` of the Ray job that this process is the entry point of."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return job.get("runtime_env") or {}


def trial_share(resources: Resources) -> tuple[dict[str, float], str | None]:
    """Returns the CPUs and GPUs of one trial, and a notice if they differ from the search file.

    Without any GPU in the cluster, trials train on the CPU.

    Raises:
        SweepError: No machine of the cluster is large enough for one trial.
    """
    nodes = machines()
    share = {"cpu": float(resources.cpu), "gpu": float(resources.gpu)}
    notice = None
    if share["gpu"] and not any(machine.get("GPU") for machine in nodes):
        notice = f"no GPU in this cluster: resources.gpu {share['gpu']:g} is taken as 0"
        share["gpu"] = 0.0
    for name, key in (("CPU", "cpu"), ("GPU", "gpu")):
        largest = max((machine.get(name, 0.0) for machine in nodes), default=0.0)
        if share[key] > largest:
            raise SweepError(
                f"resources.{key}: one trial asks for {share[key]:g}, "
                f"the cluster has {largest:g} on one machine; lower it: --set resources.{key}=... "
                f"(sweep resume: --{key})"
            )
    if not any(trials_per_machine(share, machine) for machine in nodes):
        raise SweepError(
            f"resources: one trial asks for {share['cpu']:g} CPUs and {share['gpu']:g} GPUs, "
            "no machine of the cluster has both"
        )
    return share, notice


def count_slots(share: dict[str, float]) -> int:
    """Returns how many trials the cluster runs concurrently, at least 1."""
    return max(1, sum(trials_per_machine(share, machine) for machine in machines()))


def choose_reservation(share: dict[str, float], concurrent: int) -> Reservation:
    """Returns a reservation with which trials use all GPUs before they share one.

    If other jobs already hold GPUs of the cluster, a trial reserves only what it needs. A larger
    reservation assumes that all GPUs are free, so fewer trials would run concurrently.

    Args:
        share: CPUs and GPUs that one trial needs.
        concurrent: Number of trials that run concurrently.
    """
    deadline = time.monotonic() + GPU_RELEASE_TIMEOUT_S
    while not (free := _all_gpus_free()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return spread_over_gpus(share, machines(), concurrent) if free else Reservation(share)


def _all_gpus_free() -> bool:
    free, total = ray.available_resources(), ray.cluster_resources()
    return bool(free.get("GPU", 0.0) >= total.get("GPU", 0.0))


def run_on_gpu(function: Callable[[], T], timeout_s: float | None = None) -> T:
    """Runs a function in a process of the cluster that has a GPU for itself.

    Args:
        function: A function without arguments.
        timeout_s: Longest wait for a GPU and the result.

    Raises:
        GetTimeoutError: There is no result yet; the function is not run any more.
    """
    task: Any = ray.remote(_call).options(num_cpus=0, num_gpus=1)
    reference = task.remote(function, code_directories())
    try:
        result: T = ray.get(reference, timeout=timeout_s)
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        raise
    except RayTaskError as error:
        raise error.cause from None
    return result


def _call(function: Callable[[], T], directories: list[str]) -> T:
    add_code_directories(directories)
    return function()


def joins_cluster(address: str | None) -> bool:
    """Returns whether trials may run on other machines than this one.

    Args:
        address: The address to join; see `RayConnection.address`.
    """
    if ray.is_initialized():
        return len(machines()) > 1
    return (address or os.environ.get("RAY_ADDRESS") or LOCAL) != LOCAL


def run_on_trial_machine(function: Callable[[], T], resources: Resources) -> T:
    """Runs a function in a process of a machine that is large enough for a trial."""
    gpu = 0.0 if resources.gpu == "auto" else float(resources.gpu)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    has_gpus = any(node["Resources"].get("GPU") for node in nodes)
    share = {"cpu": float(resources.cpu), "gpu": gpu if has_gpus else 0.0}
    large = [node for node in nodes if trials_per_machine(share, node["Resources"])]
    node = (large or nodes)[0]
    strategy: Any = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    task: Any = ray.remote(_call).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=strategy,
        runtime_env={"env_vars": storage_credentials()},
    )
    result: T = ray.get(task.remote(function, code_directories()))
    return result


def machines() -> list[dict[str, float]]:
    """Returns the resources of each machine of the cluster under Ray's names: `CPU`, `GPU`."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
