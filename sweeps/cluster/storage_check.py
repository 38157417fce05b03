"""Whether every node of a cluster sees the sweep's directory: asked before the first trial.

The driver writes a file, a task on each node reads it and writes another one, and the driver
reads that. In object storage the files are objects.
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

from sweeps.storage.location import remote_of
from sweeps.sweep_dir.layout import SweepError
from trainable.errors import StorageError
from trainable.storage.object_store import Remote

QUESTION = "question"
PROBE = ".shared"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
PATIENCE_S = 10
"""A network file system may show another machine's files a little later."""
TIMEOUT_S = 300
"""For all nodes to answer; each of them unpacks the code first."""


def check_shared(directory: Path) -> None:
    """Makes sure that every node of the cluster reads and writes a directory's files.

    Args:
        directory: The sweep's. One that does not exist yet will be made next to others of its
            kind, so that it is the nearest directory above it which is asked about.

    Raises:
        SweepError: A node does not; says which one.
    """
    remote = remote_of(directory)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if remote is not None:
        _check_store(remote, nodes)
        return
    if len(nodes) < 2:
        return
    with _probe(directory) as probe:
        secret = secrets.token_hex(8)
        (probe / QUESTION).write_text(secret, encoding="utf-8")
        answers = {node["NodeID"]: _ask(answer, node, str(probe), secret) for node in nodes}
        _await(answers)
        for node in nodes:
            problem = _answer(answers[node["NodeID"]])
            if problem is None and not _seen(probe / node["NodeID"], secret):
                problem = f"what it writes there is not seen on {platform.node()}"
            if problem is not None:
                raise SweepError(
                    f"checkpoint.dir {directory.parent} is not shared by the cluster's nodes: "
                    f"on node {_name(node)} {problem}; "
                    "give a directory that all of them mount"
                )


def _check_store(remote: Remote, nodes: list[dict[str, Any]]) -> None:
    """Makes sure that this process and every other node read, write and delete objects.

    Raises:
        SweepError: A node does not; says which one and why.
    """
    place = f"{PROBE}.{secrets.token_hex(4)}"
    problem = try_store(remote.uri, f"{place}.driver")
    if problem is not None:
        raise SweepError(f"checkpoint.dir: {problem}")
    if len(nodes) < 2:
        return
    keys = store_keys()
    answers = {
        node["NodeID"]: _ask(try_store, node, remote.uri, place, env=keys) for node in nodes
    }
    _await(answers)
    for node in nodes:
        problem = _answer(answers[node["NodeID"]])
        if problem is not None:
            raise SweepError(
                f"checkpoint.dir cannot be used from all of the cluster's nodes: "
                f"on node {_name(node)} {problem}"
            )


def try_store(uri: str, name: str, node: str = "") -> str | None:
    """On a node: what is wrong with the store there; None if nothing is."""
    try:
        remote = Remote(uri, patience_s=PATIENCE_S)
        remote.write(f"{name}{node}", name.encode())
        found = remote.read(f"{name}{node}")
        remote.delete([f"{name}{node}"])
    except StorageError as error:
        return str(error)
    return None if found == name.encode() else f"{uri}: what is written there is not seen"


def store_keys() -> dict[str, str]:
    """The variables with which Tune gives trials access to a store."""
    return {name: os.environ[name] for name in KEYS if name in os.environ}


def _ask(
    question: Callable[..., str | None],
    node: dict[str, Any],
    place: str,
    secret: str,
    env: dict[str, str] | None = None,
) -> Any:
    where: Any = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": where}
    if env:
        options["runtime_env"] = {"env_vars": env}
    return ray.remote(**options)(question).remote(place, secret, node["NodeID"])


def _await(answers: dict[str, Any]) -> None:
    waiting = list(answers.values())
    ray.wait(waiting, num_returns=len(waiting), timeout=TIMEOUT_S)


def _answer(reference: Any) -> str | None:
    try:
        problem: str | None = ray.get(reference, timeout=0)
    except GetTimeoutError:
        return f"the question was not answered within {TIMEOUT_S} s"
    except RayError as error:
        return f"the question failed: {' '.join(str(error).split())}"
    return problem


def answer(probe: str, secret: str, node: str) -> str | None:
    """On a node: what is wrong with the driver's directory there; None if nothing is."""
    directory = Path(probe)
    if not _seen(directory / QUESTION, secret):
        return "a file that the driver has just written there is not seen"
    try:
        (directory / node).write_text(secret, encoding="utf-8")
    except OSError as error:
        return f"nothing can be written there: {error.strerror}"
    return None


def _seen(path: Path, text: str) -> bool:
    deadline = time.monotonic() + PATIENCE_S
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
def _probe(directory: Path) -> Iterator[Path]:
    """A directory in the sweep's, or beside it; afterwards there is nothing of it left."""
    place = directory
    missing = []
    while not place.is_dir():
        missing.append(place)
        place = place.parent
    made = [] if directory.is_dir() else missing[1:]
    try:
        if made:
            made[0].mkdir(parents=True)
        probe = (made[0] if made else place) / f"{PROBE}.{secrets.token_hex(4)}"
        probe.mkdir()
    except OSError as error:
        raise SweepError(f"{directory}: cannot be made: {error.strerror}") from error
    try:
        yield probe
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # another sweep lies there by now
                parent.rmdir()


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
