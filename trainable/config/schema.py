"""The schema layer on pydantic: strict sections, sections chosen by name, and `validate`."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from trainable.config.error_messages import find_problems, list_places
from trainable.config.introspection import (
    OPEN_NAME,
    TAG_MARK,
    is_chosen_by_name,
    kind_of_name,
    names_of,
    options,
)
from trainable.config.yaml_reader import Document, PathKey
from trainable.errors import ConfigError, Problem
from trainable.uri import expand_home

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Items = Annotated[tuple[_Item, ...], BeforeValidator(_as_tuple)]
"""A list in the file and a tuple, which is immutable, in the section."""


UserPath = Annotated[str, AfterValidator(expand_home)]
"""A path, in which a leading `~` is the home directory, or a URI."""


class FrozenArguments(dict[str, Any]):
    """Arguments in a config, which is hashable; they are never changed in place."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def _check_arguments(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not name.isidentifier():
            raise ValueError(f'must have names of arguments as keys, found "{name}"')
        _check_plain(name, value)
    return FrozenArguments(copy.deepcopy(values))


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _check_plain(name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(f"{name}.{key}", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must have finite numbers, found {value} for {name}")
    elif not isinstance(value, str | bool | int | float | None):
        raise ValueError(f"must have plain values, found {type(value).__name__} for {name}")


Arguments = Annotated[
    dict[str, Any], AfterValidator(_check_arguments), Field(validate_default=True)
]
"""Arguments of a callable by name: plain values, each of which can be swept by its dotted key."""


NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """Base of every section: strict types, unknown keys are errors, and instances are immutable.

    A number may be an integer, but not a boolean, NaN or infinity. `null` means the default.
    """

    foreign_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of other tools (see `synonyms.simplify`) -> the hint if such a key is found."""

    open_names: ClassVar[str | None] = None
    """In a union by name: a regular expression for the names that this section has besides the
    fixed ones of the others, e.g. those of own code. It must match none of the fixed names."""

    replaced_whole: ClassVar[bool] = False
    """Whether a mapping that overrides the section replaces it, because its keys exclude one
    another."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_null_as_default(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {k: v for k, v in data.items() if v is not None or not cls.has_other_default(k)}

    @classmethod
    def has_other_default(cls, key: Any) -> bool:
        """Returns whether a key has a default and cannot be null itself."""
        field = cls.model_fields.get(key)
        if field is None or field.is_required():
            return False
        return type(None) not in options(field.annotation)


@dataclass(frozen=True)
class ByName:
    """Marks a union of sections in which the key `name` selects the member.

    Use: `Annotated[A | B, ByName("optimizer")]`; each member has a `name: Literal[...]` of one or
    several values, and the default's `name` has a default. Mappings and instances are accepted.
    One member may have a `name: str` and `Section.open_names`; it gets the names that match.
    """

    section: str
    """The union's name in error messages."""
    default: str | None = None
    """The name where the key is missing; None makes the key required."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Builds a union tagged by `name`, as pydantic requires it."""
        members = [member for member in options(source) if is_chosen_by_name(member)]
        choices = {
            self._build_tag(name): handler.generate_schema(member)
            for member in members
            for name in names_of(member) or (OPEN_NAME,)
        }

        def find_tag(value: Any) -> str | None:
            name = self._find_name(value)
            if name is None:
                return None
            is_open = bool(getattr(kind_of_name(members, name), "open_names", None))
            return self._build_tag(OPEN_NAME if is_open else name)

        return core_schema.tagged_union_schema(choices, find_tag)

    def _find_name(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.default if value.get("name") is None else value["name"]
        return getattr(value, "name", None)

    def _build_tag(self, name: Any) -> str:
        return f"{TAG_MARK}{self.section}{TAG_MARK}{name}"


@dataclass(frozen=True)
class Partial(Generic[_Model]):
    """The valid values of a document and the problems of the others."""

    instance: _Model | None
    """The document without its broken values; None if the rest of it cannot be read."""
    problems: list[Problem]
    """All problems in file order."""
    broken: frozenset[PathKey]
    """Paths of the values that `instance` has not; it has their defaults or stand-ins instead."""


def validate(model: type[_Model], document: Document) -> _Model:
    """Checks the values of a document against a model.

    Raises:
        ConfigError: The document breaks the schema; all problems are listed in file order.
    """
    partial = validate_partly(model, document)
    if partial.instance is None or partial.problems:
        raise ConfigError(document.source, partial.problems)
    return partial.instance


def validate_partly(
    model: type[_Model], document: Document, stand_ins: Mapping[PathKey, Any] | None = None
) -> Partial[_Model]:
    """Checks the values of a document and builds the model from those that are valid.

    pydantic checks the rules between keys only where each of them is valid. Broken values are
    therefore left out and the rest is checked again, until there is nothing new.

    Args:
        model: The model.
        document: The document.
        stand_ins: Path of a required key -> a valid value that takes the place of a broken one.
    """
    data = document.data
    problems: list[Problem] = []
    broken: set[PathKey] = set()
    names: set[str] = set()
    while True:
        try:
            instance: _Model | None = model.model_validate(data)
            break
        except ValidationError as error:
            details = error.errors(include_url=False)
        rest = Document(data, document.lines, document.source)
        problems += [
            problem
            for problem in find_problems(model, rest, details)
            if problem not in problems and not _names_any(problem, names)
        ]
        places = list(list_places(model, data, details))
        data, dropped = _drop_places(data, [place[:2] for place in places], stand_ins or {})
        if not dropped - broken:
            instance = None
            break
        broken |= dropped
        names |= {str(path[-1]) for path in dropped} | {meant for _, _, meant in places if meant}
    problems.sort(key=lambda problem: problem.line or 0)
    return Partial(instance, problems, frozenset(broken))


def _names_any(problem: Problem, names: Iterable[str]) -> bool:
    """Whether a problem is about keys whose values have been left out."""
    text = f"{problem.key} {problem.rule}"
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _drop_places(
    data: Any, places: Iterable[tuple[PathKey, str]], stand_ins: Mapping[PathKey, Any]
) -> tuple[Any, set[PathKey]]:
    """Drops values from nested mappings; a list with a broken item is dropped whole.

    Returns:
        (a copy without the values, the paths of what was dropped or replaced).
    """
    result = copy.deepcopy(data)
    dropped: set[PathKey] = set()
    if not isinstance(result, dict):
        return result, dropped
    for path, kind in places:
        if kind == "missing" and path not in stand_ins:
            path = path[:-1]  # the section without its required key
        target: Any = result
        for depth, step in enumerate(path[:-1]):
            below = target.setdefault(step, {})
            if not isinstance(below, dict):
                path = path[: depth + 1]
                break
            target = below
        if path:
            dropped.add(path)
            target.pop(path[-1], None)
        if path in stand_ins:
            target[path[-1]] = copy.deepcopy(stand_ins[path])
    return result, dropped
