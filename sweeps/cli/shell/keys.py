"""Lists the keys that `--set` takes, for the file that completes them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isclass
from typing import Any

from pydantic import BaseModel

from sweeps.spec.changes import LIVE_KEYS
from sweeps.spec.search_spec import SearchSpec
from trainable.config import TrainConfig
from trainable.config.introspection import options

SEARCHED_APART = ("config", "space")
"""Keys of the search file whose values are other files' keys or any key."""


def list_assignable_keys() -> dict[str, list[str]]:
    """Returns kind of the command -> its dotted keys, in the order of the file.

    `training` has the keys of a training config, `search` those of a search file, and `settings`
    those that may change while a sweep runs.
    """
    training = list(dict.fromkeys(_keys_of(TrainConfig)))
    search = [key for key in dict.fromkeys(_keys_of(SearchSpec)) if not _is_apart(key)]
    return {
        "training": training,
        "search": [*search, *(f"config.{key}" for key in training)],
        "settings": [key for key in search if key.startswith(LIVE_KEYS)],
    }


def _is_apart(key: str) -> bool:
    return key.partition(".")[0] in SEARCHED_APART


def _keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yields the keys of a section and of those in it; a section itself if it can be null."""
    for key, field in model.model_fields.items():
        kinds = options(field.annotation)
        sections = [kind for kind in kinds if _is_section(kind)]
        if len(sections) < len(kinds):
            yield field.alias or key
        for section in sections:
            yield from (f"{field.alias or key}.{inner}" for inner in _keys_of(section))


def _is_section(kind: Any) -> bool:
    return isclass(kind) and issubclass(kind, BaseModel)
