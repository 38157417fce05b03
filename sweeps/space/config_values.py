"""The values that expressions read: those of a trial's training config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from trainable.config import TrainConfig
from trainable.config.dotted import get_dotted
from trainable.config.introspection import fields_of, kind_of_name, options
from trainable.config.override import override


class ConfigValues:
    """Looks up the values that keys of a training config have in a trial.

    A trial's config is the training config with the drawn values set in it. A key that neither of
    them sets has its default, and a section whose `name` is drawn has that one's keys and
    defaults only.

    Args:
        config: The training config's plain values.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._sections: dict[tuple[str, str | None], dict[str, Any]] = {}
        """(section, its drawn name) -> key -> value; filled on demand."""

    def find(self, keys: Iterable[str], drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of those keys that the trial's config has.

        Args:
            keys: Dotted keys, each of a section.
            drawn: Dotted key -> drawn value, flat: a drawn mapping is given by its keys too.
        """
        values = {}
        for key in keys:
            section, _, name = key.partition(".")
            if key in drawn:
                values[key] = drawn[key]
                continue
            others = self._find_section(section, drawn.get(f"{section}.name"))
            with suppress(KeyError):
                values[key] = get_dotted(others, name)
        return values

    def _find_section(self, section: str, name: Any) -> dict[str, Any]:
        chosen = name if isinstance(name, str) else None
        if (section, chosen) not in self._sections:
            self._sections[section, chosen] = _complete_section(self._config, section, chosen)
        return self._sections[section, chosen]


def _complete_section(config: Mapping[str, Any], section: str, name: str | None) -> dict[str, Any]:
    """Returns a section's values and defaults, after its `name` has been set if one is given."""
    field = TrainConfig.model_fields.get(section)
    if field is None:
        return {}
    own = {section: config.get(section) or {}}
    values = (own if name is None else override(own, {f"{section}.name": name}))[section]
    if not isinstance(values, Mapping):
        return {}
    kinds: list[type[BaseModel]] = options(field.annotation)
    chosen = values.get("name", getattr(field.get_default(), "name", None))
    kind = kind_of_name(kinds, chosen) or kinds[0]
    if not fields_of(kind):
        return {}
    complete: dict[str, Any] = to_jsonable_python(_add_defaults(kind, values))
    return complete


def _add_defaults(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a section's values and defaults, also those of the sections in it that are set."""
    complete: dict[str, Any] = {}
    for key, field in kind.model_fields.items():
        value = values.get(key)
        inner = [option for option in options(field.annotation) if fields_of(option)]
        if isinstance(value, Mapping) and len(inner) == 1:
            complete[key] = _add_defaults(inner[0], value)
        elif value is not None:
            complete[key] = value
        elif not field.is_required():
            complete[key] = field.get_default()
    return complete | {key: value for key, value in values.items() if key not in complete}
