"""Expressions of a search file: arithmetic, comparisons and boolean logic over dotted keys.

    training.batch_size * optimizer.learning_rate < 64
    0.1 * optimizer.learning_rate

Python's grammar, none of its powers: a text is parsed, never run. There are numbers, texts,
`true`, `false`, `null`, lists, keys, `+ - * / // % **`, comparisons with `in`, and `and or not`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

MAX_LENGTH, MAX_DEPTH = 1000, 50
"""Characters of an expression, and how deep it may be nested."""

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, exponent: _power(base, exponent),
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
_WORDS = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """An expression is none, or has no value for the values that it is given."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: As written.
        constants: Dotted key -> value, for keys that no draw has.
    """

    text: str
    constants: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The dotted keys in it, each once."""
        found = dict.fromkeys(_names(self._tree))
        return tuple(found)

    @cached_property
    def _tree(self) -> ast.expr:
        return _parse(self.text)

    def bound(self, constants: Mapping[str, Any]) -> Expression:
        """The same with values for keys that draws do not have."""
        return replace(self, constants=constants)

    def value(self, values: Mapping[str, Any]) -> Any:
        """What it comes to.

        Args:
            values: Dotted key -> value; they win over the constants.

        Raises:
            ExpressionError: A key has no value, or the arithmetic is not possible.
        """
        try:
            return _value(self._tree, {**self.constants, **values})
        except (ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise ExpressionError(f"{self.text}: {error}") from error

    def __str__(self) -> str:
        return self.text


def parse_expression(text: Any) -> Expression:
    """Reads an expression.

    Raises:
        ExpressionError: With the rule that it breaks.
    """
    if isinstance(text, Expression):
        return text
    if not isinstance(text, str):
        raise ExpressionError(f"must be a text such as a.key * 2 < 64, found {text!r}")
    expression = Expression(" ".join(text.split()))
    if not expression.names:
        raise ExpressionError(f"must name a key, found {text!r}")
    return expression


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"must have at most {MAX_LENGTH} characters, found {len(text)}")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at character {error.offset}" if isinstance(error, SyntaxError) else ""
        raise ExpressionError(f"{text!r} is no expression{at}") from None
    _check(tree, text, 0)
    return tree


def _check(node: ast.expr, text: str, depth: int) -> None:
    """Raises for anything that an expression may not have."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"must be nested at most {MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return
        case ast.Name() | ast.Attribute():
            _key(node, text)
            return
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Not(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, ops=ops, comparators=rest) if _all_known(ops):
            parts = [left, *rest]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            parts = elements
        case _:
            found = ast.get_source_segment(text, node) or text
            raise ExpressionError(
                f"may have numbers, texts, keys, arithmetic, comparisons and and/or/not, "
                f"found {found}"
            )
    for part in parts:
        _check(part, text, depth + 1)


def _all_known(operators: list[ast.cmpop]) -> bool:
    return all(type(op) in _COMPARISONS for op in operators)


def _key(node: ast.expr, text: str) -> str:
    """The dotted key that a name or a chain of attributes is."""
    if isinstance(node, ast.Attribute):
        return f"{_key(node.value, text)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ExpressionError(f"may have keys, found {ast.get_source_segment(text, node) or text}")


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        key = _key(node, "")
        return [] if key in _WORDS else [key]
    found = [_names(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return [name for names in found for name in names]


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            key = _key(node, "")
            if key in _WORDS:
                return _WORDS[key]
            if key not in values:
                raise LookupError(f"{key} has no value")
            return values[key]
        case ast.UnaryOp(op=op, operand=operand):
            return _unary(op, _value(operand, values))
        case ast.BinOp(left=left, op=op, right=right):
            pair = _number(_value(left, values)), _number(_value(right, values))
            return _number(_ARITHMETIC[type(op)](*pair))
        case ast.BoolOp(op=op, values=parts):
            every = isinstance(op, ast.And)
            found = (bool(_value(part, values)) for part in parts)
            return all(found) if every else any(found)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            sides = [_value(side, values) for side in (left, *rest)]
            return all(_COMPARISONS[type(op)](sides[i], sides[i + 1]) for i, op in enumerate(ops))
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element, values) for element in elements]
    raise TypeError(f"unexpected {type(node).__name__}")


def _unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.Not):
        return not value
    return -_number(value) if isinstance(op, ast.USub) else _number(value)


def _power(base: float, exponent: float) -> float:
    """Whole where both are; of what would be endless digits, the overflow of floats."""
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 64 >= abs(base):
        result: int = base**exponent
        return result
    power: float = float(base) ** exponent
    return power


def _number(value: Any) -> Any:
    """A number that arithmetic goes on with; texts and lists are not multiplied here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"arithmetic needs numbers, found {value!r}")
    if abs(value) > 1e300:
        raise OverflowError(f"{value:.3g} is too large")
    return value
