"""Addresses in object storage: what is one, what is below and above it, what it must not hold."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

SECRET = re.compile(r"key|secret|token|password|credential|sig", re.IGNORECASE)
SAFE = "/=+@,:"
"""What a name in an address has as it is, besides letters, digits and `_.-~`."""


def is_uri(path: str) -> bool:
    """Whether a path is an address in object storage."""
    return "://" in path


def normalize_directory(path: str) -> str:
    """A `checkpoint.dir` as it is used: `file:///x` is the plain path, other URIs are checked.

    Raises:
        ValueError: The URI holds what `search.yaml` would keep and must not, or no directory.
    """
    if not is_uri(path):
        return path
    parts = urlsplit(path)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise ValueError(f"must be file:///PATH, without a host, found {path}")
        return unquote(parts.path)
    user, at, host = parts.netloc.rpartition("@")
    has_secret = ":" in user or (at and parts.scheme in {"s3", "gs", "gcs"})
    if has_secret or any(SECRET.search(name) for name, _ in parse_qsl(parts.query)):
        hidden = urlunsplit((parts.scheme, host, parts.path, "", ""))
        raise ValueError(
            "must not hold a user name or a secret, which the sweep's files would keep: "
            f"set them in the environment, found one in {hidden}"
        )
    if not parts.netloc:
        raise ValueError(f"must name a bucket, as in s3://bucket/sweeps, found {path}")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def child_uri(uri: str, name: str) -> str:
    """The address of what is below another; a query stays at the end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name, SAFE)}"))


def parent_uri(uri: str) -> tuple[str, str]:
    """The address above another, and the name below it."""
    parts = urlsplit(uri)
    above, _, name = parts.path.rstrip("/").rpartition("/")
    return urlunsplit(parts._replace(path=above)), unquote(name)
