"""Looks up in a pydantic model which types and names it allows at a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import isclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

TAG_MARK = "\0"
"""Begins the steps of pydantic's error locations that stand for a section chosen by `name`."""

OPEN_NAME = "*"
"""Stands in pydantic's error locations for any of a section's `open_names`."""


def names_of(kind: Any) -> tuple[str, ...]:
    """Returns the values that a section's key `name` may have; empty without fixed names."""
    if not _is_model(kind) or "name" not in kind.model_fields:
        return ()
    return tuple(get_args(kind.model_fields["name"].annotation))


def example_names(kind: Any) -> tuple[str, ...]:
    """Returns examples of the names of a section with `open_names`, as its field has them."""
    return tuple(kind.model_fields["name"].examples or ())


def accepts_name(kind: Any, name: Any) -> bool:
    """Returns whether a section that is chosen by its `name` can have this one.

    It is one of its fixed names, or matches its `open_names`.
    """
    if name in names_of(kind):
        return True
    pattern = getattr(kind, "open_names", None)
    return bool(pattern and isinstance(name, str) and re.fullmatch(pattern, name))


def kind_of_name(kinds: Iterable[Any], name: Any) -> Any | None:
    """Returns the kind of a section that is called so; None if there is none."""
    return next((kind for kind in kinds if accepts_name(kind, name)), None)


def is_chosen_by_name(kind: Any) -> bool:
    """Returns whether a section's key `name` chooses it among others."""
    return bool(names_of(kind) or getattr(kind, "open_names", None))


def options(annotation: Any) -> list[Any]:
    """Lists the types that an annotation allows, unwrapped from `Annotated` and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return options(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [option for part in get_args(annotation) for option in options(part)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isclass(kind) and issubclass(kind, BaseModel)


def types_at(model: type[BaseModel], trail: Iterable[str | int]) -> list[Any]:
    """Lists the types that the value at `trail` may have."""
    kinds: list[Any] = [model]
    for step in trail:
        if isinstance(step, str) and step.startswith(TAG_MARK):
            name = step.rsplit(TAG_MARK, 1)[1]
            kinds = [kind for kind in kinds if accepts_name(kind, name)]
        else:
            kinds = [option for kind in kinds for option in child_types(kind, step)]
    return kinds


def child_types(kind: Any, step: str | int) -> list[Any]:
    """Lists the types of what a value of type `kind` may hold at a key or list position."""
    if _is_model(kind):
        fields = kind.model_fields
        return options(fields[step].annotation) if step in fields else []
    if get_origin(kind) in (dict, Mapping):
        return options(get_args(kind)[1])
    if get_origin(kind) in (list, tuple, Sequence):
        return options(get_args(kind)[0])
    return []


def fields_of(kind: Any) -> Iterable[str]:
    """Returns the keys of a section; empty for other types."""
    return kind.model_fields if _is_model(kind) else ()
