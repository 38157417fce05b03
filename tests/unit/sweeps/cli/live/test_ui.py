"""`sweep ui`: what it prints, and what it refuses before it serves."""

import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweeps.cli.live import ui as ui_module
from sweeps.cli.main import main
from sweeps.ui.server import UiServer
from tests.support.fake_sweeps import FakeSweep


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["ui", *map(str, arguments)])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[UiServer]:
    """Ends every server at once, as by Ctrl-C, and notes it."""
    servers: list[UiServer] = []

    def serve(self: UiServer) -> None:
        servers.append(self)
        self._server.server_close()
        raise KeyboardInterrupt

    monkeypatch.setattr(UiServer, "serve", serve)
    return servers


def test_it_prints_the_address_with_the_token(tmp_path: Path, served: list[UiServer]) -> None:
    FakeSweep(tmp_path / "sweep", trials=2).write()
    result = run(tmp_path, "--port", "0")
    assert result.exit_code == 0, result.output
    [server] = served
    assert server.address_with_token in result.stdout
    assert "the sweeps are not affected" in result.stdout


def test_read_only_needs_no_token(tmp_path: Path, served: list[UiServer]) -> None:
    result = run(tmp_path, "--port", "0", "--read-only")
    assert served[0].address in result.stdout
    assert "token" not in result.stdout


def test_another_host_warns_that_nothing_is_encrypted(
    tmp_path: Path, served: list[UiServer]
) -> None:
    result = run(tmp_path, "--port", "0", "--host", "0.0.0.0", "--read-only")
    assert served[0].guard.reading_needs_token
    assert "token=" in result.stdout
    assert "not encrypted" in result.stderr
    assert f"ssh -L {served[0].port}:127.0.0.1:{served[0].port}" in result.stderr


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    assert "there is no such directory" in run(tmp_path / "none").stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run(tmp_path, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "is in use" in result.stderr


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = ui_module.find_spec

    def without_grid(name: str, *package: Any) -> Any:
        return None if name == "dash_ag_grid" else find_spec(name, *package)

    monkeypatch.setattr(ui_module, "find_spec", without_grid)
    result = run(tmp_path)
    assert result.exit_code == 2
    assert 'needs dash_ag_grid; install with: pip install "tune-sweeps[ui]"' in result.stderr
