"""Looks at proxies, other Ray clusters and the ways to the web page; sends nothing anywhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sweeps.cluster.start_checks import temporary_directory
from sweeps.doctor.check import Check, mask

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
LOOPBACK = "127.0.0.1"
PAGE_PORT = 8050
"""Default port of `sweep ui`."""


def check_network() -> Iterator[Check]:
    """Yields the checks of Ray's address, proxies and loopback."""
    yield _check_ray_address()
    yield _check_proxy()
    yield _check_loopback()


def _check_ray_address() -> Check:
    address = os.environ.get("RAY_ADDRESS")
    if address:
        return Check(
            "RAY_ADDRESS",
            "warning",
            f"sweeps join the Ray cluster at {mask('', address)}",
            "unset RAY_ADDRESS, to run them on this machine alone",
        )
    running = Path(temporary_directory()).absolute() / "ray" / "ray_current_cluster"
    if running.exists():
        text = f"not set; {running} names a Ray cluster, which sweeps join only by --address auto"
        return Check("RAY_ADDRESS", "ok", text)
    return Check("RAY_ADDRESS", "ok", "not set: sweeps start a Ray of their own")


def _check_proxy() -> Check:
    proxies = {name: os.environ[name] for name in PROXIES if os.environ.get(name)}
    if not proxies:
        return Check("proxy", "ok", "none")
    settings = ", ".join(f"{name}={mask(name, value)}" for name, value in proxies.items())
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = {name.strip() for name in direct.split(",")}
    missing = [name for name in ("localhost", LOOPBACK) if name not in names]
    if missing and "*" not in names:
        value = ",".join([*filter(None, [direct]), *missing])
        return Check(
            "proxy",
            "warning",
            f"{settings}: also requests to this machine itself, such as to sweep ui, go there",
            f"export no_proxy={value}",
        )
    return Check("proxy", "ok", f"{settings}; not for this machine")


def _check_loopback() -> Check:
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=1).close()
    except OSError as error:
        text = f"{LOOPBACK} cannot be connected to: {error.strerror or error}"
        return Check("loopback", "problem", text, "bring up the interface: ip link set lo up")
    try:
        socket.create_server((LOOPBACK, PAGE_PORT)).close()
    except OSError:
        text = f"{LOOPBACK} can be connected to; port {PAGE_PORT} is in use"
        return Check("loopback", "ok", text, "sweep ui --port 0")
    text = f"{LOOPBACK} can be connected to; port {PAGE_PORT} is free"
    if os.environ.get("SSH_CONNECTION"):
        remedy = f"to see the page of sweep ui: ssh -L {PAGE_PORT}:{LOOPBACK}:{PAGE_PORT} HOST"
        return Check("loopback", "ok", f"{text}; this is a session by SSH", remedy)
    return Check("loopback", "ok", text)
