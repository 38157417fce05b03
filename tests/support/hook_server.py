"""A server on this machine that keeps what hooks send it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Ask = tuple[str, dict[str, str], dict[str, Any]]
"""Path, headers and JSON of a request."""


class Server:
    """Keeps what it is sent; answers with `code`."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.code = 200
        self.released = threading.Event()
        self.released.set()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.asked.append((self.path, dict(self.headers), json.loads(body)))
                server.released.wait()
                self.send_response(server.code)
                self.send_header("Location", f"http://{server.host}/elsewhere")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        return Handler
