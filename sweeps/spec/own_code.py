"""Names the code of the user's own that a search file uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MODEL_KEYS = ("model", "model.name")
"""Keys of the space that can choose the model."""


def own_code(search: Mapping[str, Any]) -> list[str]:
    """Lists the `module:name` of models and samplers that are code of the user's own.

    A sweep with any needs `--allow-custom-model`.

    Args:
        search: The plain values of a search file; its training config is a mapping.
    """
    space = search.get("space") or {}
    values = [
        (search.get("config") or {}).get("model"),
        *(space[key] for key in MODEL_KEYS if key in space),
        (search.get("tune") or {}).get("search_alg"),
    ]
    return list(dict.fromkeys(text for value in values for text in _texts(value) if ":" in text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
