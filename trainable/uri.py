"""Addresses in object storage: recognise, check, join and split them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from trainable.errors import PathError

SECRET = re.compile(r"key|secret|token|password|credential|sig", re.IGNORECASE)
SAFE = "/=+@,:"
"""Characters that are not escaped in an address, besides letters, digits and `_.-~`."""


def is_uri(path: str) -> bool:
    """Returns whether a path is an address in object storage."""
    return "://" in path


def expand_home(path: str) -> str:
    """Returns a path with a leading `~` or `~user` as that home directory; URIs stay as they are.

    Raises:
        PathError: There is no such user.
    """
    if is_uri(path) or not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        user = path.partition("/")[0]
        raise PathError(
            f"begins with {user}, but there is no such user; a directory of that name is "
            f"./{user}, found {path}"
        ) from None


def normalize_directory(path: str) -> str:
    """Returns `checkpoint.dir` with `file:///x` and `~/x` as plain paths; checks other URIs.

    Raises:
        ValueError: The URI has no bucket, or contains a user name or a secret, which would be
            written into the sweep's files; or the path's home directory does not exist.
    """
    if not is_uri(path):
        return expand_home(path)
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
    """Returns the address of `name` below another address; a query stays at the end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name, SAFE)}"))


def parent_uri(uri: str) -> tuple[str, str]:
    """Returns the address one level up, and the name below it."""
    parts = urlsplit(uri)
    parent, _, name = parts.path.rstrip("/").rpartition("/")
    return urlunsplit(parts._replace(path=parent)), unquote(name)
