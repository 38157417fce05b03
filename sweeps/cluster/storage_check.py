"""Checks before the first trial that every node of a cluster shares the sweep's directory.

The driver writes a probe file, a task on each node reads it and writes a file of its own, and the
driver reads that file. In object storage each node writes, reads and deletes an object.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.storage.location import store_of
from sweeps.sweep_dir.errors import SweepError
from trainable.errors import StorageError
from trainable.storage.object_store import ObjectStore

PROBE_FILE = "driver"
PROBE_PREFIX = ".shared"
CREDENTIAL_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
)
VISIBILITY_TIMEOUT_S = 10
"""Longest wait for a file of another machine: network file systems may show it late."""
PROBE_TIMEOUT_S = 300
"""Longest wait for the probes of all nodes; each node unpacks the code first."""


def check_shared(directory: Path) -> None:
    """Checks that every node of the cluster can read and write the files of a directory.

    Args:
        directory: The sweep's directory. If it does not exist yet, its parent directory is probed
            instead, and created for the probe if necessary.

    Raises:
        SweepError: A node cannot; the message names it.
    """
    store = store_of(directory)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if store is not None:
        _check_object_store(store, nodes)
        return
    if len(nodes) < 2:
        return
    with _probe_directory(directory) as probe:
        token = secrets.token_hex(8)
        (probe / PROBE_FILE).write_text(token, encoding="utf-8")
        probes = {
            node["NodeID"]: _run_probe(probe_files, node, str(probe), token) for node in nodes
        }
        _wait_for(probes)
        for node in nodes:
            problem = _result(probes[node["NodeID"]])
            if problem is None and not _wait_for_text(probe / node["NodeID"], token):
                problem = f"files that it writes are not visible on {platform.node()}"
            if problem is not None:
                raise SweepError(
                    f"checkpoint.dir {directory.parent} is not shared by the cluster's nodes: "
                    f"on node {_describe_node(node)} {problem}; "
                    "give a directory that all of them mount"
                )


def _check_object_store(store: ObjectStore, nodes: list[dict[str, Any]]) -> None:
    """Checks that this process and every node can read, write and delete objects.

    Raises:
        SweepError: A node cannot; the message names it and the reason.
    """
    prefix = f"{PROBE_PREFIX}.{secrets.token_hex(4)}"
    problem = probe_object_store(store.uri, f"{prefix}.driver")
    if problem is not None:
        raise SweepError(f"checkpoint.dir: {problem}")
    if len(nodes) < 2:
        return
    credentials = storage_credentials()
    probes = {
        node["NodeID"]: _run_probe(probe_object_store, node, store.uri, prefix, credentials)
        for node in nodes
    }
    _wait_for(probes)
    for node in nodes:
        problem = _result(probes[node["NodeID"]])
        if problem is not None:
            raise SweepError(
                f"checkpoint.dir cannot be used from all of the cluster's nodes: "
                f"on node {_describe_node(node)} {problem}"
            )


def probe_object_store(uri: str, prefix: str, node: str = "") -> str | None:
    """Returns what is wrong with the object store on this node; None if it works."""
    name = f"{prefix}{node}"
    try:
        store = ObjectStore(uri, retry_s=VISIBILITY_TIMEOUT_S)
        store.write(name, prefix.encode())
        content = store.read(name)
        store.delete([name])
    except StorageError as error:
        return str(error)
    return None if content == prefix.encode() else f"{uri}: a written object is not visible"


def storage_credentials() -> dict[str, str]:
    """Returns the environment variables with object storage keys, which Tune passes to trials."""
    return {name: os.environ[name] for name in CREDENTIAL_VARIABLES if name in os.environ}


def _run_probe(
    probe: Callable[..., str | None],
    node: dict[str, Any],
    location: str,
    token: str,
    variables: dict[str, str] | None = None,
) -> Any:
    strategy: Any = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": strategy}
    if variables:
        options["runtime_env"] = {"env_vars": variables}
    return ray.remote(**options)(probe).remote(location, token, node["NodeID"])


def _wait_for(probes: dict[str, Any]) -> None:
    references = list(probes.values())
    ray.wait(references, num_returns=len(references), timeout=PROBE_TIMEOUT_S)


def _result(reference: Any) -> str | None:
    try:
        problem: str | None = ray.get(reference, timeout=0)
    except GetTimeoutError:
        return f"the check did not end within {PROBE_TIMEOUT_S} s"
    except RayError as error:
        return f"the check failed: {' '.join(str(error).split())}"
    return problem


def probe_files(directory: str, token: str, node: str) -> str | None:
    """Returns what is wrong with the driver's directory on this node; None if it is shared."""
    if not _wait_for_text(Path(directory, PROBE_FILE), token):
        return "a file that the driver has just written there is not visible"
    try:
        Path(directory, node).write_text(token, encoding="utf-8")
    except OSError as error:
        return f"files cannot be written there: {error.strerror}"
    return None


def _wait_for_text(path: Path, text: str) -> bool:
    """Returns whether a file has this text, or gets it within `VISIBILITY_TIMEOUT_S`."""
    deadline = time.monotonic() + VISIBILITY_TIMEOUT_S
    while True:
        try:
            if path.read_text(encoding="utf-8") == text:
                return True
        except OSError:
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)


@contextmanager
def _probe_directory(directory: Path) -> Iterator[Path]:
    """Creates a directory in the sweep's or beside it, and removes all of it afterwards."""
    existing = directory
    missing = []
    while not existing.is_dir():
        missing.append(existing)
        existing = existing.parent
    created = [] if directory.is_dir() else missing[1:]
    try:
        if created:
            created[0].mkdir(parents=True)
        probe = (created[0] if created else existing) / f"{PROBE_PREFIX}.{secrets.token_hex(4)}"
        probe.mkdir()
    except OSError as error:
        raise SweepError(f"{directory}: cannot be created: {error.strerror}") from error
    try:
        yield probe
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        for parent in created:
            with suppress(OSError):  # not empty if another sweep has been started there
                parent.rmdir()


def _describe_node(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
