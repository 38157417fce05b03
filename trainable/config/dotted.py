"""Dotted keys of nested mappings, such as `optimizer.name`: get, set, pop and flatten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get_dotted(data: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key.

    Raises:
        KeyError: The mapping has no such key.
    """
    value: Any = data
    for step in key.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(key)
        value = value[step]
    return value


def set_dotted(data: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key in place and creates the mappings on the way to it, also for null.

    Raises:
        ValueError: A value on the way is not a mapping.
    """
    *sections, last = key.split(".")
    target: Any = data
    for section in sections:
        if target.get(section) is None:
            target[section] = {}
        target = target[section]
        if not isinstance(target, dict):
            raise ValueError(f'"{section}" must be a mapping, found {target!r}')
    target[last] = value


def pop_dotted(data: dict[str, Any], key: str) -> Any:
    """Removes a dotted key in place and returns its value.

    Raises:
        KeyError: The mapping has no such key.
    """
    section, _, last = key.rpartition(".")
    parent = get_dotted(data, section) if section else data
    if not isinstance(parent, dict):
        raise KeyError(key)
    return parent.pop(last)


def flatten(data: Mapping[str, Any], *, keep_mappings: bool = False) -> dict[str, Any]:
    """Returns dotted key -> value for all of nested mappings; an empty mapping is a value.

    A key of `data` itself wins over one inside a mapping.

    Args:
        data: The nested mapping; its own keys may be dotted already.
        keep_mappings: Whether nested mappings also appear as values beside their contents.
    """
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if keep_mappings or not _is_nested(value):
            flat[key] = value
        if _is_nested(value):
            inner = {f"{key}.{name}": item for name, item in value.items()}
            flat |= flatten(inner, keep_mappings=keep_mappings)
    return flat | {key: value for key, value in data.items() if not _is_nested(value)}


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)
