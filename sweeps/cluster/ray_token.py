"""Ray's token: a local Ray has one of its own, a cluster is shown the user's.

Ray by itself writes the token of a local Ray into `~/.ray/auth_token`, readable by everyone. From
then on `ray start` requires it of clients, and clients do not show it to an explicit address.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import grpc  # type: ignore[import-untyped]
import ray._raylet
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

MODE_VARIABLE = "RAY_AUTH_MODE"
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
TOKEN_PATH_VARIABLE = "RAY_AUTH_TOKEN_PATH"
TIMEOUT_S = 10

_raylet: Any = ray._raylet
_messages: Any = gcs_service_pb2

_own: dict[str, str] = {}
"""Environment variables that this process has set for its local Ray."""


def set_own_token() -> None:
    """Gives the local Ray of this process a token, in its environment only.

    What the user has set with `RAY_AUTH_MODE`, `RAY_AUTH_TOKEN` or `RAY_AUTH_TOKEN_PATH` stays.
    """
    variables = {MODE_VARIABLE: "token"}
    if TOKEN_PATH_VARIABLE not in os.environ:
        variables[TOKEN_VARIABLE] = secrets.token_hex(32)
    _own.update({name: value for name, value in variables.items() if name not in os.environ})
    os.environ.update(_own)
    _reload()


def remove_own_token() -> None:
    """Removes what `set_own_token` has set."""
    for name, value in _own.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    if _own:
        _own.clear()
        _reload()


def show_token() -> None:
    """Lets this process show a cluster the user's token, if there is one.

    `ray.init` does so only for the address `auto`. A cluster without tokens ignores it.
    """
    loader = _raylet.AuthenticationTokenLoader.instance()
    if MODE_VARIABLE not in os.environ and loader.has_token(ignore_auth_mode=True):
        os.environ[MODE_VARIABLE] = "token"
        _raylet.Config.initialize("")


def check_token(head: str) -> None:
    """Raises PermissionError if a cluster refuses this process's token or the lack of one.

    Ray itself would try for 20 s and say only that it has failed.

    Args:
        head: HOST:PORT of the cluster's head.
    """
    channel = init_grpc_channel(head)
    try:
        stub = NodeInfoGcsServiceStub(channel)
        stub.GetClusterId(_messages.GetClusterIdRequest(), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise PermissionError("it requires a token that this process does not have") from None
    finally:
        channel.close()


def _reload() -> None:
    """Lets Ray read the environment again."""
    _raylet.Config.initialize("")
    _raylet.AuthenticationTokenLoader.instance().reset_cache()
