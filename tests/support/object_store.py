"""An S3 server on loopback in its own process, and a connection to it that can be cut.

As a script, this module is the server; it logs every request as a line of JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUCKET = "bucket"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test-key-id",
    "AWS_SECRET_ACCESS_KEY": "test-secret-key",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Request:
    """One request to the server."""

    method: str
    key: str
    copied_from: str | None

    @property
    def is_upload(self) -> bool:
        return self.method == "PUT" and self.copied_from is None

    @property
    def is_copy(self) -> bool:
        return self.method == "PUT" and self.copied_from is not None


class S3Server:
    """The server, behind a connection that can be cut."""

    def __init__(self, port: int, log: Path) -> None:
        self._log = log
        self._connection = CuttableConnection(port)

    def uri(self, path: str) -> str:
        address = f"127.0.0.1:{self._connection.port}"
        return f"s3://{BUCKET}/{path}?endpoint_override={address}&scheme=http&region=us-east-1"

    def requests(self) -> list[Request]:
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [Request(**json.loads(line)) for line in lines]

    def forget_requests(self) -> None:
        os.truncate(self._log, 0)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Makes the server unreachable and ends open connections."""
        self._connection.close()
        try:
            yield
        finally:
            self._connection.open()


class CuttableConnection:
    """Forwards bytes between clients and a server."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.port = 0
        self._sockets: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        _close(self._listener)
        sockets, self._sockets = self._sockets, []
        for connection in sockets:
            _close(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            self._sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_forward, args=[source, target], daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
    _close(source)
    _close(target)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def object_store(folder: Path) -> Iterator[S3Server]:
    """Starts a server with an empty bucket and sets its keys in the environment."""
    log = folder / "requests.jsonl"
    log.touch()
    script = str(Path(__file__))
    environment = {**os.environ, **ENVIRONMENT}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        process = subprocess.Popen(
            [sys.executable, script, str(log)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            address = f"http://127.0.0.1:{port}/{BUCKET}"
            with urllib.request.urlopen(urllib.request.Request(address, method="PUT")):
                yield S3Server(port, log)
        finally:
            process.kill()
            process.wait()


def _serve(log: Path) -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    inner = DomainDispatcherApplication(create_backend_app)

    def log_and_answer(environ: dict[str, Any], start: Any) -> Any:
        response = inner(environ, start)
        line = {
            "method": environ["REQUEST_METHOD"],
            "key": environ["PATH_INFO"].removeprefix(f"/{BUCKET}/"),
            "copied_from": environ.get("HTTP_X_AMZ_COPY_SOURCE"),
        }
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return response

    server = make_server("127.0.0.1", 0, log_and_answer, threaded=True)
    print(server.port, flush=True)
    parent = os.getppid()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.getppid() == parent:  # the server ends with a killed test
        time.sleep(0.5)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
