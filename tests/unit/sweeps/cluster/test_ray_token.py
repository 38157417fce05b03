"""The token of a local Ray, and the user's, which a cluster is shown."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.cluster import ray_token
from sweeps.cluster.ray_token import check_token, remove_own_token, set_own_token, show_token

VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty home directory, and an environment without a token; Ray reads both anew."""
    with monkeypatch.context() as patch:
        for name in VARIABLES:
            patch.setenv(name, "to be restored")
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path))
        patch.setattr(ray_token, "_own", {})
        ray_token._reload()
        yield tmp_path
    ray_token._reload()


def variables() -> dict[str, str]:
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def test_a_local_ray_has_a_token_of_its_own_that_no_file_keeps(home: Path) -> None:
    set_own_token()
    first = variables()
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    remove_own_token()
    assert variables() == {}
    show_token()
    assert variables() == {}
    set_own_token()
    assert variables()["RAY_AUTH_TOKEN"] != first["RAY_AUTH_TOKEN"]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "added"),
    [
        ("RAY_AUTH_MODE", "disabled", {"RAY_AUTH_TOKEN"}),
        ("RAY_AUTH_TOKEN", "mine", {"RAY_AUTH_MODE"}),
        ("RAY_AUTH_TOKEN_PATH", "/mine", {"RAY_AUTH_MODE"}),
    ],
)
def test_what_the_user_has_set_stays(
    name: str, value: str, added: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    set_own_token()
    assert variables().keys() == added | {name}
    assert variables()[name] == value
    remove_own_token()
    assert variables() == {name: value}


def test_a_token_in_the_home_directory_is_shown_to_a_cluster(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("mine")
    ray_token._reload()
    show_token()
    assert variables() == {"RAY_AUTH_MODE": "token"}
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    show_token()
    assert variables() == {"RAY_AUTH_MODE": "disabled"}


def test_only_a_refused_token_is_an_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # but does not listen
        check_token(f"127.0.0.1:{bound.getsockname()[1]}")
