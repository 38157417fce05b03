"""Names of models of libraries: `timm/NAME.TAG` and `torchvision/NAME.TAG`.

Loads neither torch nor a library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder

from trainable.config.names import similarity
from trainable.config.sections.model import TIMM, is_library_model
from trainable.errors import ConfigError, Problem

NAME = "model.name"

MIN_SIMILARITY = 0.4
"""Similarity in [0, 1] from which on a name is suggested."""


def split_name(name: str) -> tuple[str, str]:
    """Splits `timm/resnet18.a1_in1k` into the architecture `resnet18` and the tag, or ""."""
    architecture, _, tag = name.partition("/")[2].partition(".")
    return architecture, tag


def check_timm_is_installed(name: str) -> Problem | None:
    """Returns what is wrong with a `model.name` of timm where timm is missing."""
    if not (is_library_model(name) and name.startswith(TIMM)):
        return None
    if "timm" in sys.modules or PathFinder.find_spec("timm") is not None:
        return None
    rule = f'"{name}" needs timm, which is not installed: pip install "tune-sweeps[timm]"'
    return Problem(NAME, rule)


def unknown_name(name: str, kind: str, names: Iterable[str]) -> ConfigError:
    """Returns the error for a name that a library does not have, with the nearest one.

    Args:
        name: The config's `model.name`.
        kind: What the library has no such thing of, e.g. `timm has no model`.
        names: The names that the library has, without its own prefix.
    """
    library, _, own = name.partition("/")
    nearest = max(names, key=lambda other: similarity(own, other))
    is_near = similarity(own, nearest)[0] >= MIN_SIMILARITY
    hint = f'; did you mean "{library}/{nearest}"?' if is_near else ""
    return ConfigError("config", [Problem(NAME, f'{kind} "{own}"{hint}')])
