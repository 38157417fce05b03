"""Sets dotted keys in a config's plain values."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from trainable.config import TrainConfig
from trainable.config.introspection import names_of, options
from trainable.errors import ConfigError, Problem


def override(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Sets dotted keys in a config's plain values, as a sweep does for each trial.

    A mapping is taken as the keys in it, those around it stay; a key that is given by itself wins.

    When the `name` of a section changes (dataset, loss, optimizer, scheduler), the keys that the
    newly named one does not have are dropped, but for those set in the same call: a wrong one
    among these is left for `parse_config` to report.

    Args:
        data: The nested values; they stay as they are.
        values: Dotted key, e.g. `optimizer.learning_rate`, to its value.

    Returns:
        A deep copy with the keys set.

    Raises:
        ConfigError: When a key lies in what is no mapping.
    """
    result = copy.deepcopy(dict(data))
    values = {**_spread(values), **{k: v for k, v in values.items() if not _is_filled(v)}}
    for key, value in values.items():
        if key.endswith(".name"):
            _rename(result, key.removesuffix(".name"), value)
    for key, value in values.items():
        *sections, last = key.split(".")
        target: Any = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                rule = f'"{section}" must be a mapping, found {target!r}'
                raise ConfigError("overrides", [Problem(key, rule)])
        target[last] = copy.deepcopy(value)
    return result


def _spread(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values with those that lie in mappings by their own dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = (
            _spread(value, f"{prefix}{key}.") if _is_filled(value) else {f"{prefix}{key}": value}
        )
        found.update(inner)
    return found


def _is_filled(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _rename(data: dict[str, Any], section: str, name: Any) -> None:
    """Drops from a section the keys that `name` does not have, if that is a new name."""
    field = TrainConfig.model_fields.get(section)
    values = data.get(section)
    if field is None or not isinstance(values, dict):
        return
    default = getattr(field.get_default(), "name", None)
    members = {each: kind for kind in options(field.annotation) for each in names_of(kind)}
    if isinstance(name, str) and name in members and values.get("name", default) != name:
        fields = members[name].model_fields
        data[section] = {key: value for key, value in values.items() if key in fields}
