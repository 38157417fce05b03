"""Converts Python values to those that a YAML file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from trainable.config.schema import Section


def to_plain(value: Any) -> Any:
    """Returns a value as a file would hold it; what no file can hold is returned as it is.

    Mappings and sequences are copied. Paths become text, scalars and arrays of NumPy become
    Python's numbers and lists, and sections of a config become mappings of what was given.
    """
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Section):
        return value.model_dump(mode="json", exclude_unset=True)
    if hasattr(value, "to_dict"):  # a `SpaceValue`
        return value.to_dict()
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    return value


def to_assignments(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the dotted keys of an argument `set` with plain values.

    Raises:
        ConfigError: A key is no dotted key; all such keys are listed.
    """
    from sweeps.spec.overrides import check_assignments

    return check_assignments(to_plain(values or {}))
