"""Parameters of a search space: the base class, and those computed from other parameters."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.space.expressions import Expression


def to_json(value: Any) -> str:
    """A plain value as messages show it; values of different types never look the same."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Parameter(ABC):
    """One key of a search space: where its value comes from, and when the key exists."""

    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=True)
    """Other key of the space -> the values with which this hyperparameter exists."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name that a search file uses for it, such as `loguniform`."""

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.kind

    @property
    @abstractmethod
    def arguments(self) -> Any:
        """The arguments of the kind, as in a search file."""

    @property
    def parents(self) -> set[str]:
        """Keys that must have a value before this one; some may be constants of the config."""
        return set(self.when)

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds under the values of the hyperparameters drawn before."""
        return all(
            key in values and to_json(values[key]) in map(to_json, allowed)
            for key, allowed in self.when.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The parameter as a search file writes it."""
        when = {key: list(allowed) for key, allowed in self.when.items()}
        return {self.kind: self.arguments} | ({"when": when} if when else {})


@dataclass(frozen=True)
class ExpressionParameter(Parameter):
    """`expr`: the value of an expression over other keys; absent where a trial lacks one."""

    expression: Expression

    @property
    def kind(self) -> str:
        """`expr`."""
        return "expr"

    @property
    def arguments(self) -> str:
        """The expression as written."""
        return self.expression.text

    @property
    def parents(self) -> set[str]:
        """The keys of the condition and those that decide the expression's value."""
        return {*self.when, *self.expression.parents}

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds and every key of the expression has a value."""
        return super().is_active(values) and self.expression.has_inputs(values)

    def value(self, values: Mapping[str, Any]) -> Any:
        """The value that follows from those drawn before.

        Raises:
            ExpressionError: The expression cannot be computed from them.
        """
        return self.expression.value(values)


@dataclass(frozen=True)
class ZippedParameter(Parameter):
    """`zip`: takes the value at the position that a choice or grid of the space has drawn."""

    source_key: str
    """Key of that choice or grid."""
    source_values: tuple[Any, ...]
    """Its values; empty until `search_space.resolve` fills them in."""
    values: tuple[Any, ...]
    """This key's values, one for each of the source's."""

    @property
    def kind(self) -> str:
        """`zip`."""
        return "zip"

    @property
    def arguments(self) -> dict[str, list[Any]]:
        """`{source_key: values}`."""
        return {self.source_key: list(self.values)}

    @property
    def parents(self) -> set[str]:
        """The keys of the condition, and the source key."""
        return {*self.when, self.source_key}

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds and the source key has a value."""
        return super().is_active(values) and self.source_key in values

    def value(self, values: Mapping[str, Any]) -> Any:
        """The value at the position of the source's."""
        options = [to_json(value) for value in self.source_values]
        return self.values[options.index(to_json(values[self.source_key]))]


DerivedParameter = ExpressionParameter | ZippedParameter
"""Parameters whose values follow from others instead of being drawn."""
