"""What a key of a search space can have: a distribution, or a value that follows from others."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.space.expressions import Expression


def shown(value: Any) -> str:
    """A plain value as messages show it; values of different types never look the same."""
    return json.dumps(value, ensure_ascii=False)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values, and what lies in those that are mappings, all by dotted key."""
    found = dict(values)
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat({f"{key}.{name}": inner for name, inner in value.items()})
    return found


@dataclass(frozen=True)
class Entry(ABC):
    """What one hyperparameter's value comes from."""

    kind: str
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=True)
    """Other key of the space -> the values with which this hyperparameter exists."""

    @property
    @abstractmethod
    def arguments(self) -> Any:
        """What the kind takes, as in a search file."""

    @property
    def parents(self) -> set[str]:
        """The keys whose values must be there before this one's; others may be constants."""
        return set(self.when)

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds under the values of the hyperparameters drawn before."""
        return all(
            key in values and shown(values[key]) in map(shown, allowed)
            for key, allowed in self.when.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The entry as a search file writes it."""
        when = {key: list(allowed) for key, allowed in self.when.items()}
        return {self.kind: self.arguments} | ({"when": when} if when else {})


@dataclass(frozen=True)
class Computed(Entry):
    """`expr`: what an expression over other keys comes to; absent where one of them is."""

    expression: Expression

    @property
    def arguments(self) -> str:
        """The expression as written."""
        return self.expression.text

    @property
    def parents(self) -> set[str]:
        """The keys of the condition and of the expression."""
        return {*self.when, *self.expression.names}

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds and every key of the expression has a value."""
        known = {*flat(values), *self.expression.constants}
        return super().is_active(values) and known.issuperset(self.expression.names)

    def value(self, values: Mapping[str, Any]) -> Any:
        """The value under those drawn before.

        Raises:
            ExpressionError: There is none.
        """
        return self.expression.value(flat(values))


@dataclass(frozen=True)
class Linked(Entry):
    """`zip`: goes along with a choice or grid, position by position."""

    leader: str
    leading: tuple[Any, ...]
    """The leader's values."""
    values: tuple[Any, ...]
    """This key's, one for each of the leader's."""

    @property
    def arguments(self) -> dict[str, list[Any]]:
        """`{leader: values}`."""
        return {self.leader: list(self.values)}

    @property
    def parents(self) -> set[str]:
        """The keys of the condition, and the leader."""
        return {*self.when, self.leader}

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether `when` holds and the leader exists."""
        return super().is_active(values) and self.leader in values

    def value(self, values: Mapping[str, Any]) -> Any:
        """The value at the position of the leader's."""
        position = [shown(known) for known in self.leading].index(shown(values[self.leader]))
        return self.values[position]


Derived = Computed | Linked
"""Entries that nothing is drawn for."""
