"""The schema layer on pydantic: strict sections, sections chosen by name, and `validate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from trainable.config.error_messages import find_problems
from trainable.config.introspection import TAG_MARK, names_of, options
from trainable.config.yaml_reader import Document
from trainable.errors import ConfigError
from trainable.uri import expand_home

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Items = Annotated[tuple[_Item, ...], BeforeValidator(_as_tuple)]
"""A list in the file and a tuple, which is immutable, in the section."""


UserPath = Annotated[str, AfterValidator(expand_home)]
"""A path, in which a leading `~` is the home directory, or a URI."""


class Section(BaseModel):
    """Base of every section: strict types, unknown keys are errors, and instances are immutable.

    A number may be an integer, but not a boolean, NaN or infinity.
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
    """Marks a union of sections in which the key `name` selects the member.

    Use: `Annotated[A | B, ByName("optimizer")]`; each member has a `name: Literal[...]` of one or
    several values, and the default's `name` has a default. Mappings and instances are accepted.
    """

    section: str
    """The union's name in error messages."""
    default: str | None = None
    """The name where the key is missing; None makes the key required."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Builds a union tagged by `name`, as pydantic requires it."""
        choices = {
            self._build_tag(name): handler.generate_schema(member)
            for member in options(source)
            for name in names_of(member)
        }
        return core_schema.tagged_union_schema(choices, self._find_tag)

    def _find_tag(self, value: Any) -> str | None:
        if isinstance(value, Mapping):
            name = value.get("name", self.default)
        else:
            name = getattr(value, "name", None)
        return None if name is None else self._build_tag(name)

    def _build_tag(self, name: Any) -> str:
        return f"{TAG_MARK}{self.section}{TAG_MARK}{name}"


def validate(model: type[_Model], document: Document) -> _Model:
    """Checks the values of a document against a model.

    Raises:
        ConfigError: The document breaks the schema; all problems are listed in file order.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = find_problems(model, document, details)
        raise ConfigError(document.source, problems) from error
