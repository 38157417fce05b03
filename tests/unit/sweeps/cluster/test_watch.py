"""The watch that notices Ray's death."""

import socket
import threading
from pathlib import Path

import pytest

from sweeps.cluster.watch import Endpoint, watching

TIMEOUT_S = 30


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_a_process_whose_socket_is_gone_is_dead(
    family: socket.AddressFamily, tmp_path: Path
) -> None:
    with socket.socket(family) as server:
        server.bind(str(tmp_path / "socket") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        server.listen()
        endpoint = Endpoint("raylet", server.getsockname())
        assert not endpoint.is_dead()
        assert not endpoint.is_dead()
    assert endpoint.is_dead()


def test_a_process_that_is_back_in_time_is_not_dead(tmp_path: Path) -> None:
    endpoint = Endpoint("raylet", str(tmp_path / "socket"), may_return=True, limit_s=600)
    assert not endpoint.is_dead()
    assert endpoint.silent_since is not None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(endpoint.address)
        server.listen()
        assert not endpoint.is_dead()
        assert endpoint.silent_since is None


def test_a_death_is_reported_once_with_the_name_of_the_process(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        endpoints = [
            Endpoint("gcs_server", server.getsockname()),
            Endpoint("raylet", str(tmp_path / "socket")),
        ]
        dead: list[str] = []
        is_over = threading.Event()

        def on_death(process: str) -> None:
            dead.append(process)
            is_over.set()

        with watching(endpoints, on_death, poll_s=0.01):
            assert is_over.wait(TIMEOUT_S)
    assert dead == ["raylet"]


def test_nothing_is_reported_after_the_watch(tmp_path: Path) -> None:
    dead: list[str] = []
    with watching([Endpoint("raylet", str(tmp_path / "socket"))], dead.append, poll_s=TIMEOUT_S):
        pass
    for thread in threading.enumerate():
        if thread.name == "ray watch":
            thread.join(TIMEOUT_S)
    assert dead == []
