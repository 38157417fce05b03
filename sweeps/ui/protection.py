"""Decides which HTTP requests `sweep ui` answers.

A page on loopback is open to every program of the machine, and through DNS rebinding or a form to
every site that the user's browser visits. So the name in `Host` must be one of the server's own, a
request from another origin is refused, and whatever changes a sweep needs the token that
`sweep ui` has printed.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from flask import Flask, Response, make_response, request

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::"})
"""Hosts that stand for every address of the machine."""
TOKEN_KEY = "token"
"""Key of the address that `sweep ui` prints."""
MAX_BODY_BYTES = 1_000_000

ENTRY_PAGE = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={path}">'
    "<title>tune-sweeps</title>"
)
"""Goes on to the address without the token. A redirect would not do: a browser does not send the
cookie, which is `SameSite=Strict`, with one that began at another site."""


class Guard:
    """Checks every request, and adds the headers that restrict what a page may do.

    Args:
        host: The host that the server listens on.
        port: Its port; the cookies are named with it, as browsers send them to every port.
        token: The token; a new one by default.
    """

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.reading_needs_token = host not in LOOPBACK
        self.cookie = f"sweep_ui_{port}"
        self.csrf_cookie = f"sweep_ui_csrf_{port}"
        self.csrf_header = "X-Sweep-CSRF"
        self._csrf = hmac.digest(self.token.encode(), b"csrf", "sha256").hex()
        self._names = LOOPBACK | {host.lower()}
        self._any_address = host in WILDCARDS
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._policy = ""

    def protect(self, server: Flask, script_hashes: Sequence[str]) -> None:
        """Checks all requests to a server.

        Args:
            server: The server.
            script_hashes: The hashes of inline scripts that its pages have.
        """
        scripts = " ".join(f"'{script.strip(chr(39))}'" for script in script_hashes)
        self._policy = "; ".join(
            [
                "default-src 'self'",
                # Plotly compiles the shaders of WebGL charts by `new Function`.
                f"script-src 'self' 'unsafe-eval' {scripts}".rstrip(),
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                "worker-src 'self' blob:",
                "object-src 'none'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            ]
        )
        server.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        server.before_request(self.check)
        server.after_request(self.add_headers)

    def check(self) -> Response | None:
        """Returns the refusal of the present request; None if it is answered."""
        refusal = self._describe_foreign()
        if refusal is not None:
            return _refuse(*refusal)
        if request.method == "GET" and TOKEN_KEY in request.args:
            return self._enter(request.args[TOKEN_KEY])
        if self.reading_needs_token and not self.has_cookie():
            return _refuse(403, "Open the address with ?token= that `sweep ui` has printed.")
        return None

    def has_cookie(self) -> bool:
        """Returns whether the browser has shown the token."""
        return _equal(request.cookies.get(self.cookie, ""), self.token)

    def may_write(self) -> bool:
        """Returns whether the present request may change a sweep.

        It has the cookie, which another site cannot read or send, and the header that only a
        script of this page can add.
        """
        return self.has_cookie() and _equal(request.headers.get(self.csrf_header, ""), self._csrf)

    def add_headers(self, response: Response) -> Response:
        """Adds the headers that keep a page from loading or sending anything elsewhere."""
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    def _describe_foreign(self) -> tuple[int, str] | None:
        """Returns (status, text) if the request is for or from another site."""
        name = _host_name(request.headers.get("Host", ""))
        if not self._is_own(name):
            return 400, f"This server is not {name or 'nameless'}; see `sweep ui --host`."
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{request.host}".lower():
            return 403, "Requests from another site are refused."
        if request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}:
            return None
        is_link = (
            request.method == "GET"
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") == "document"
        )
        return None if is_link else (403, "Requests from another site are refused.")

    def _is_own(self, name: str) -> bool:
        return name in self._names or (self._any_address and _is_address(name))

    def _enter(self, token: str) -> Response:
        """Answers an address with a token."""
        if not _equal(token, self.token):
            return _refuse(
                403, "This token is of an earlier start; use the address that `sweep ui` printed."
            )
        path = quote("/" + request.path.lstrip("/"), safe="/")  # `//host` would be another site
        response = make_response(ENTRY_PAGE.format(path=path))
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict")
        response.set_cookie(self.csrf_cookie, self._csrf, samesite="Strict")
        return response


def _equal(text: str, secret: str) -> bool:
    return hmac.compare_digest(text.encode(), secret.encode())


def _refuse(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")


def _host_name(host: str) -> str:
    """Returns the name in a `Host` header without port and brackets, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
