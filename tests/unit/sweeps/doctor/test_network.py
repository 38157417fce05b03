"""Proxies, other Ray clusters and the web page, as `sweep doctor` reports them."""

import socket
from pathlib import Path
from typing import Any

import pytest

from sweeps.doctor import network
from sweeps.doctor.check import Check
from sweeps.doctor.network import PROXIES, check_network


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("RAY_ADDRESS", "RAY_TMPDIR", "SSH_CONNECTION", "no_proxy", "NO_PROXY")
    for name in (*others, *PROXIES):
        monkeypatch.delenv(name, raising=False)


def only(name: str) -> Check:
    (check,) = [check for check in check_network() if check.name == name]
    return check


def test_a_plain_environment_has_no_warning() -> None:
    assert [(check.name, check.state) for check in check_network()] == [
        ("RAY_ADDRESS", "ok"),
        ("proxy", "ok"),
        ("loopback", "ok"),
    ]


def test_other_clusters_and_proxies_without_their_passwords(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://me:secret@head:10001")
    assert only("RAY_ADDRESS").found == "sweeps join the Ray cluster at ray://***@head:10001"
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").touch()
    assert "join only by --address auto" in only("RAY_ADDRESS").found
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    monkeypatch.setenv("no_proxy", "example.org")
    check = only("proxy")
    assert check.state == "warning"
    assert check.found.startswith("https_proxy=http://***@proxy:3128: ")
    assert check.remedy == "export no_proxy=example.org,localhost,127.0.0.1"
    monkeypatch.setenv("no_proxy", "localhost, 127.0.0.1")
    assert only("proxy").state == "ok"


def test_a_page_over_ssh_needs_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.2 5000 10.0.0.1 22")
    monkeypatch.setattr(network, "PAGE_PORT", 0)  # any, which is free
    assert only("loopback").remedy == "to see the page of sweep ui: ssh -L 0:127.0.0.1:0 HOST"


def test_a_loopback_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_: Any, **__: Any) -> socket.socket:
        raise TimeoutError("timed out")  # as socket raises it, without an error number

    monkeypatch.setattr(socket, "create_connection", wait)
    check = only("loopback")
    assert check.state == "problem"
    assert check.found == "127.0.0.1 cannot be connected to: timed out"
