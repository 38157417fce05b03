"""The schema layer on pydantic: strict sections, sections chosen by name, and `validate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from trainable.config.error_messages import find_problems
from trainable.config.introspection import MARK, names_of, options
from trainable.config.yaml_reader import Document
from trainable.errors import ConfigError

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Items = Annotated[tuple[_Item, ...], BeforeValidator(_as_tuple)]
"""A list in the file, a tuple in the section: nobody can change it afterwards."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, nothing is converted, nothing changes.

    An integer is taken where a number is wanted; a boolean never is, nor NaN or infinity.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True)
class ByName:
    """Marks a union of sections whose key `name` tells which of them is meant.

    Use: `Annotated[A | B, ByName("optimizer")]`; each member has a `name: Literal[...]` of one or
    several values, and the default's `name` has a default. Mappings and instances are accepted.
    """

    section: str
    """What messages call the union."""
    default: str | None = None
    """The name when the key is missing; None means that the key is required."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """What pydantic asks for: a union tagged by `name`."""
        choices = {
            self._tag(name): handler.generate_schema(member)
            for member in options(source)
            for name in names_of(member)
        }
        return core_schema.tagged_union_schema(choices, self._choose)

    def _choose(self, value: Any) -> str | None:
        if isinstance(value, Mapping):
            name = value.get("name", self.default)
        else:
            name = getattr(value, "name", None)
        return None if name is None else self._tag(name)

    def _tag(self, name: Any) -> str:
        return f"{MARK}{self.section}{MARK}{name}"


def validate(model: type[_Model], document: Document) -> _Model:
    """Checks the values of a document against a model.

    Raises:
        ConfigError: With every problem at once, in file order.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = find_problems(model, document, details)
        raise ConfigError(document.source, problems) from error
