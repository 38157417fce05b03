"""Notices that the Ray which a sweep runs on has died."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import ray

from sweeps.cluster.local_ray import is_local

POLL_S = 0.5
CONNECT_TIMEOUT_S = 5.0
LIMIT_S = 20.0
"""Time for which a process of Ray may not respond; Ray itself ends the driver after 60 seconds."""


@dataclass
class Endpoint:
    """A socket at which a process of Ray accepts connections as long as it lives."""

    process: str
    address: str | tuple[str, int]
    """The path of a Unix socket, or a host and port."""
    may_return: bool = False
    """Whether the process may be started again, as a cluster's control service may."""
    limit_s: float = LIMIT_S
    """Seconds without a response after which it is dead."""
    silent_since: float | None = field(default=None, init=False)
    """Monotonic time of the first failed attempt since the last successful one."""

    def is_dead(self) -> bool:
        """Tries to connect; returns whether that has failed for too long."""
        began = time.monotonic()
        is_path = isinstance(self.address, str)
        with socket.socket(socket.AF_UNIX) if is_path else _tcp_socket(self.address[0]) as client:
            client.settimeout(CONNECT_TIMEOUT_S)
            try:
                client.connect(self.address)
            except (ConnectionRefusedError, FileNotFoundError):
                if not self.may_return:
                    return True
                return self._is_overdue(began)
            except OSError:
                return self._is_overdue(began)
        self.silent_since = None
        return False

    def _is_overdue(self, began: float) -> bool:
        self.silent_since = self.silent_since or began
        return time.monotonic() - self.silent_since >= self.limit_s


def _tcp_socket(host: str | int) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in str(host) else socket.AF_INET)


def find_endpoints() -> list[Endpoint]:
    """Returns the processes of Ray without which no sweep runs: the head's and this machine's."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    endpoints = [Endpoint("gcs_server", (host.strip("[]"), int(port)), may_return=not is_local())]
    own_node = context.get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == own_node:
            endpoints.append(Endpoint("raylet", node["RayletSocketName"]))
    return endpoints


@contextmanager
def watching(
    endpoints: list[Endpoint], on_death: Callable[[str], None], poll_s: float = POLL_S
) -> Iterator[None]:
    """Calls a function in a thread of its own if one of the processes dies.

    Args:
        endpoints: The processes.
        on_death: Called once, with the name of the process.
        poll_s: Seconds between two attempts to connect.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(poll_s):
            for endpoint in endpoints:
                if endpoint.is_dead():
                    on_death(endpoint.process)
                    return

    thread = threading.Thread(target=watch, daemon=True, name="ray watch")
    thread.start()
    try:
        yield
    finally:
        ended.set()
