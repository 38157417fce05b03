"""Versions of this project and of what it runs on, read without importing anything."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from sweeps import __version__

PROJECT = "tune-sweeps"
PACKAGES = (PROJECT, "ray", "torch", "torchvision", "numpy", "optuna")
"""Packages whose versions a sweep records."""
NOT_INSTALLED = "not installed"


def version_of(package: str) -> str:
    """Returns the version of this project or of an installed package; else `not installed`."""
    if package == PROJECT:
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def list_versions() -> dict[str, str]:
    """Returns package -> version, as a sweep records it."""
    return {name: version_of(name) for name in PACKAGES}


def describe_versions() -> str:
    """Returns the line of `sweep --version`."""
    parts = [f"{PROJECT} {version_of(PROJECT)}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *(f"{name} {version_of(name)}" for name in ("torch", "ray"))])
