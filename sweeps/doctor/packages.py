"""Looks at Python, torch, Ray and the optional packages, without importing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sweeps.doctor.check import Check
from sweeps.terminal.versions import NOT_INSTALLED, describe_versions, version_of

RAY = ("2.58", "2.59", "2.60")
"""The minor versions of Ray on whose private names this project has been tried."""
RAY_REQUIREMENT = "ray[tune]>=2.58,<2.61"
EXTRAS = {
    "search": ("cmaes",),
    "timm": ("timm",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "ui": ("dash", "dash-ag-grid", "flask", "flask-compress"),
    "mlflow": ("mlflow-skinny", "sqlalchemy"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "cluster": ("aiohttp-cors",),
}
"""Extra of this project -> packages that it installs; for `cluster` one of `ray[default]`'s."""

_ASSIGNMENT = re.compile(r"^(\w+)(?:: [^=]+)? = (?:'([^']*)'|None)", re.MULTILINE)


def check_packages() -> Iterator[Check]:
    """Yields the versions, and which extras are missing."""
    yield Check("versions", "ok", describe_versions())
    ray = version_of("ray")
    if not ray.startswith(tuple(f"{minor}." for minor in RAY)):
        text = f"version {ray}, not {RAY[0]} to {RAY[-1]}"
        yield Check("Ray", "problem", text, f'pip install "{RAY_REQUIREMENT}"')
    if version_of("torch") == NOT_INSTALLED:
        yield Check("torch", "problem", NOT_INSTALLED, "pip install torch torchvision")
    missing = [
        extra
        for extra, packages in EXTRAS.items()
        if any(version_of(package) == NOT_INSTALLED for package in packages)
    ]
    installed = [extra for extra in EXTRAS if extra not in missing]
    text = f"installed: {', '.join(installed) or 'none'}"
    if missing:
        text += f"; not installed: {', '.join(missing)}"
    command = f'pip install "tune-sweeps[{",".join(missing)}]"'
    yield Check("extras", "ok", text, f"to use them: {command}" if missing else None)


def read_torch_build() -> dict[str, str]:
    """Returns what torch was built with: `__version__`, `cuda`, `hip`; empty without torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return {}
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return {}
    return parse_torch_build(text)


def parse_torch_build(text: str) -> dict[str, str]:
    """Returns name -> value of the texts that torch's `version.py` assigns."""
    return {name: value for name, value in _ASSIGNMENT.findall(text) if value}
