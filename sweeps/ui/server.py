"""Serves the pages of `sweep ui` until Ctrl-C."""

from __future__ import annotations

import errno
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import print_line, print_note
from sweeps.ui.app import build_app
from sweeps.ui.protection import TOKEN_KEY, WILDCARDS, Guard

BACKLOG = 64


class _RequestHandler(WSGIRequestHandler):
    """Keeps connections open between requests, and prints none of them."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Prints nothing."""
        del code, size


class UiServer:
    """The server of the pages; it listens from the start and answers once it serves.

    Args:
        roots: The directories whose sweeps it shows.
        host: The host or address to listen on.
        port: The port; 0 for a free one.
        read_only: Whether no requests can be sent to sweeps.

    Raises:
        SweepError: The port is in use, or the host is not one of this machine.
    """

    def __init__(
        self, roots: Sequence[Path], host: str, port: int, *, read_only: bool = False
    ) -> None:
        listening = _listen(host, port)
        self.port = int(listening.getsockname()[1])
        self.guard = Guard(host, self.port)
        self._host, self._read_only = host, read_only
        app = build_app(roots, self.guard, read_only=read_only)
        with listening:
            self._server: BaseWSGIServer = make_server(
                host,
                self.port,
                app.server,
                threaded=True,
                request_handler=_RequestHandler,
                fd=listening.fileno(),
            )

    @property
    def address(self) -> str:
        """The address of the first page, without the token."""
        host = socket.gethostname() if self._host in WILDCARDS else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def address_with_token(self) -> str:
        """The address that makes a browser one that may send requests."""
        return f"{self.address}?{TOKEN_KEY}={self.guard.token}"

    def announce(self) -> None:
        """Prints where the pages are, and a note if other machines can reach them."""
        needs_token = self.guard.reading_needs_token
        if needs_token:
            print_note(
                "other machines can reach the page, and it is not encrypted: what the browser "
                "sends can be read on the way, the token too. Safer: leave --host away and run "
                f"`ssh -L {self.port}:127.0.0.1:{self.port} HOST` where your browser is"
            )
        is_open = self._read_only and not needs_token
        print_line(f"sweeps are shown at {self.address if is_open else self.address_with_token}")
        print_line("end with Ctrl-C; the sweeps go on")

    def serve(self) -> None:
        """Answers requests until another thread calls `close`, or until Ctrl-C."""
        self._server.serve_forever()

    def close(self) -> None:
        """Ends `serve`."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Serves in a thread."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.close()
            thread.join()


def open_browser(address: str) -> Path:
    """Opens an address with a token in the user's browser.

    The browser is given a file that only the user can read: other users of the machine see the
    arguments of its process.

    Returns:
        The file, to be deleted later.
    """
    with tempfile.NamedTemporaryFile(  # created with mode 0600
        "w", prefix="sweep_ui_", suffix=".html", delete=False, encoding="utf-8"
    ) as file:
        file.write(f'<meta http-equiv="refresh" content="0; url={address}">')
    path = Path(file.name)
    webbrowser.open(path.as_uri())
    return path


def _listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens."""
    try:
        addresses: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = addresses[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SweepError(f"--host {host}: {error.strerror or error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise SweepError(
                f"port {port} is in use, perhaps by another `sweep ui`; choose another one with "
                "--port, or --port 0 for any free one"
            ) from error
        raise SweepError(f"--host {host} --port {port}: {error.strerror}") from error
    return listening
