"""Sets dotted keys in a config's plain values, and keeps sections consistent with their name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from trainable.config import TrainConfig
from trainable.config.dotted import flatten, set_dotted
from trainable.config.introspection import (
    is_chosen_by_name,
    kind_of_name,
    options,
    types_at,
)
from trainable.errors import ConfigError, Problem

OF_ONE_NAME = {"args", "classes", "mean", "std"}
"""Keys of several names whose values belong to a single one."""


def override(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Sets dotted keys in a config's plain values, as a sweep does for each trial.

    A mapping sets the keys inside it and leaves its other keys unchanged, unless the section is
    `replaced_whole`; a key that is given by itself wins.

    When the `name` of a section changes (dataset, loss, optimizer, scheduler), the keys that the
    new one does not have are dropped, and so are its arguments and the names of the classes. Those
    set in the same call stay, so that `parse_config` reports a wrong one.

    Args:
        data: The nested values; they are not changed.
        values: Dotted key, e.g. `optimizer.learning_rate`, to its value.

    Returns:
        A deep copy with the keys set.

    Raises:
        ConfigError: A key lies below a value that is not a mapping.
    """
    result = copy.deepcopy(dict(data))
    for key, value in flatten(values, keep_mappings=True).items():
        if isinstance(value, Mapping) and _is_replaced(key):
            with suppress(ValueError):  # reported below
                set_dotted(result, key, {})
    flat = flatten(values)
    for key, value in flat.items():
        if key.endswith(".name"):
            _drop_foreign_keys(result, key.removesuffix(".name"), value)
    for key, value in flat.items():
        try:
            set_dotted(result, key, copy.deepcopy(value))
        except ValueError as error:
            raise ConfigError("overrides", [Problem(key, str(error))]) from error
    return result


def _is_replaced(key: str) -> bool:
    kinds = types_at(TrainConfig, key.split("."))
    return any(getattr(kind, "replaced_whole", False) for kind in kinds)


def _drop_foreign_keys(data: dict[str, Any], section: str, name: Any) -> None:
    """Drops the keys of a section that the section called `name` does not have."""
    field = TrainConfig.model_fields.get(section)
    values = data.get(section)
    if field is None or not isinstance(values, dict):
        return
    default = getattr(field.get_default(), "name", None)
    kinds = [kind for kind in options(field.annotation) if is_chosen_by_name(kind)]
    kind = kind_of_name(kinds, name)
    if kind is not None and values.get("name", default) != name:
        fields = kind.model_fields.keys() - OF_ONE_NAME
        data[section] = {key: value for key, value in values.items() if key in fields}
