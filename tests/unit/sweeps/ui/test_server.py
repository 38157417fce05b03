"""The server of `sweep ui`: where it listens, and how it answers."""

import gzip
import http.client
import socket
import stat
from pathlib import Path

import pytest

from sweeps.sweep_dir.errors import SweepError
from sweeps.ui import server as server_module
from sweeps.ui.server import UiServer, open_browser
from tests.support.fake_sweeps import FakeSweep


def test_pages_are_served_compressed_over_one_connection(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "sweep", trials=2).write()
    server = UiServer([tmp_path], "127.0.0.1", 0)
    assert server.address == f"http://127.0.0.1:{server.port}/"
    assert server.address_with_token == f"{server.address}?token={server.guard.token}"
    assert server.guard.cookie == f"sweep_ui_{server.port}"
    with server.in_background():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for path in ("/assets/style.css", "/_dash-layout", "/"):
            connection.request("GET", path, headers={"Accept-Encoding": "br, gzip"})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200
            assert response.headers["Content-Security-Policy"]
        connection.close()
    assert response.headers["Content-Encoding"] == "gzip"
    page = gzip.decompress(body).decode()
    assert "<title>tune-sweeps</title>" in page
    assert "https://" not in page, "nothing is loaded from elsewhere"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_a_port_in_use_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SweepError, match=rf"port {port} is in use.*--port") as caught:
            UiServer([tmp_path], "127.0.0.1", port)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["no such host", "192.0.2.7"])
def test_a_host_that_is_not_of_this_machine_is_named(tmp_path: Path, host: str) -> None:
    with pytest.raises(SweepError, match=f"--host {host}"):
        UiServer([tmp_path], host, 0)


def test_the_browser_gets_the_token_by_a_file_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(server_module.webbrowser, "open", opened.append)
    path = open_browser("http://127.0.0.1:1/?token=secret")
    try:
        assert opened == [path.as_uri()]
        assert "secret" not in opened[0]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert 'url=http://127.0.0.1:1/?token=secret"' in path.read_text()
    finally:
        path.unlink()
