"""Which types a model allows where: the questions that messages and overrides ask a schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import isclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

MARK = "\0"
"""Begins a step of pydantic's error locations that is no key but a choice by name."""


def names_of(kind: Any) -> tuple[str, ...]:
    """The values that the key `name` of a section may have; empty when it has no fixed names."""
    if not _is_model(kind) or "name" not in kind.model_fields:
        return ()
    return tuple(get_args(kind.model_fields["name"].annotation))


def options(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without the `Annotated` and unions around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return options(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [option for part in get_args(annotation) for option in options(part)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isclass(kind) and issubclass(kind, BaseModel)


def kinds_at(model: type[BaseModel], trail: Iterable[str | int]) -> list[Any]:
    """The types that the value at `trail` may have."""
    kinds: list[Any] = [model]
    for step in trail:
        if isinstance(step, str) and step.startswith(MARK):
            kinds = [kind for kind in kinds if step.rsplit(MARK, 1)[1] in names_of(kind)]
        else:
            kinds = [option for kind in kinds for option in inside(kind, step)]
    return kinds


def inside(kind: Any, step: str | int) -> list[Any]:
    """The types that a value of type `kind` may have under a key or list position."""
    if _is_model(kind):
        fields = kind.model_fields
        return options(fields[step].annotation) if step in fields else []
    if get_origin(kind) in (dict, Mapping):
        return options(get_args(kind)[1])
    if get_origin(kind) in (list, tuple, Sequence):
        return options(get_args(kind)[0])
    return []


def fields_of(kind: Any) -> Iterable[str]:
    """The keys of a section; none for other types."""
    return kind.model_fields if _is_model(kind) else ()
