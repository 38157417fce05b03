"""`choice` with a distribution among its values, such as "0 or log-uniform"."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweeps.space.distributions import Choice, Distribution, NumericDistribution
from sweeps.space.parameters import to_json


@dataclass(frozen=True)
class Mixture(Distribution):
    """A choice between plain values and distributions of numbers.

    A value belongs to the first option that can give it.
    """

    options: tuple[Any, ...]
    """Plain values and instances of `NumericDistribution`."""
    weights: tuple[float, ...] = ()
    """How often each option is drawn, relative to the others; empty means equally often."""

    @property
    def kind(self) -> str:
        """`choice`."""
        return "choice"

    @property
    def label(self) -> str:
        """See `Parameter.label`."""
        return "a choice with a distribution in it"

    @property
    def arguments(self) -> list[Any]:
        """The options as in a search file."""
        return [
            option.to_dict() if isinstance(option, Distribution) else option
            for option in self.options
        ]

    def to_dict(self) -> dict[str, Any]:
        """See `Parameter.to_dict`."""
        weights = {"weights": list(self.weights)} if self.weights else {}
        return {**super().to_dict(), **weights}

    @cached_property
    def branches(self) -> Choice:
        """The choice of an option by its position."""
        return Choice(tuple(range(len(self.options))), weights=self.weights)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every plain value, and both ends of every distribution."""
        return tuple(
            value
            for option in self.options
            for value in (option.extremes if isinstance(option, Distribution) else (option,))
        )

    def branch(self, value: Any) -> int:
        """Returns the position of the first option that can give a value.

        Raises:
            ValueError: There is none.
        """
        for position, option in enumerate(self.options):
            if _is_option(option, value):
                return position
        raise ValueError(f"cannot draw {to_json(value)}")

    def can_draw(self, value: Any) -> bool:
        """See `Distribution.can_draw`."""
        return any(_is_option(option, value) for option in self.options)

    def convert(self, value: Any) -> Any:
        """See `Distribution.convert`; a value that no option can give raises ValueError."""
        option = self.options[self.branch(value)]
        return option.convert(value) if isinstance(option, Distribution) else option

    def from_unit(self, unit: float) -> Any:
        """See `Distribution.from_unit`; every option has a share in proportion to its weight."""
        position = self.branches.from_unit(unit)
        option = self.options[position]
        if not isinstance(option, Distribution):
            return option
        start, end = self.branches.share(position)
        return option.from_unit(min(max((unit - start) / (end - start), 0.0), 1.0))

    def to_unit(self, value: Any) -> float:
        """See `Distribution.to_unit`; a plain value is mapped to the middle of its share."""
        position = self.branch(value)
        start, end = self.branches.share(position)
        option = self.options[position]
        inner = option.to_unit(value) if isinstance(option, Distribution) else 0.5
        return start + inner * (end - start)


def build_mixture(options: list[Any], **settings: Any) -> Mixture:
    """Builds a mixture; its whole numbers become floats where it can draw floats."""
    numeric = [option for option in options if isinstance(option, NumericDistribution)]
    if not all(option.integer for option in numeric):
        options = [float(option) if _is_whole(option) else option for option in options]
    return Mixture(tuple(options), **settings)


def _is_option(option: Any, value: Any) -> bool:
    if isinstance(option, Distribution):
        return option.can_draw(value)
    if _is_number(option) and _is_number(value):
        return bool(option == value)
    return to_json(option) == to_json(value)


def _is_whole(option: Any) -> bool:
    return isinstance(option, int) and not isinstance(option, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
