"""Expressions of a search file: arithmetic, comparisons and boolean logic over dotted keys.

    training.batch_size * optimizer.learning_rate < 64
    0.1 * optimizer.learning_rate

The grammar is a part of Python's; a text is parsed and never run. It has numbers, texts, `true`,
`false`, `null`, lists, keys, `+ - * / // % **`, comparisons, `in`, and `and or not`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sweeps.space.config_values import ConfigValues
from trainable.config.dotted import flatten

MAX_LENGTH = 1000
"""Characters that an expression may have."""

MAX_DEPTH = 50
"""Levels that an expression may be nested."""

MAX_NUMBER = 1e300
"""Absolute value that arithmetic may reach."""

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
_CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """A text is not an expression, or an expression cannot be computed from the given values."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: The expression as written.
        config: The training config, for keys that a draw does not have.
    """

    text: str
    config: ConfigValues | None = field(default=None, compare=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The dotted keys in it, each once."""
        return tuple(dict.fromkeys(_list_names(self._tree)))

    @cached_property
    def _tree(self) -> ast.expr:
        return _parse(self.text)

    @cached_property
    def parents(self) -> frozenset[str]:
        """The keys that decide its value: those in it, and the names of their sections."""
        sections = {name.partition(".")[0] for name in self.names}
        return frozenset({*self.names, *(f"{section}.name" for section in sections)})

    def bind(self, config: ConfigValues) -> Expression:
        """Returns a copy that reads the keys that a draw does not have from a training config."""
        return replace(self, config=config)

    def inputs(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of its keys in a trial, without keys that the trial does not have.

        Args:
            drawn: Dotted key -> drawn value. A key wins over the same key inside a mapping.
        """
        flat = flatten(drawn, keep_mappings=True)
        if self.config is not None:
            return self.config.find(self.names, flat)
        return {name: flat[name] for name in self.names if name in flat}

    def has_inputs(self, drawn: Mapping[str, Any]) -> bool:
        """Whether a trial with these drawn values has all of its keys."""
        return len(self.inputs(drawn)) == len(self.names)

    def value(self, drawn: Mapping[str, Any]) -> Any:
        """Computes the value in a trial.

        Args:
            drawn: Dotted key -> drawn value.

        Raises:
            ExpressionError: A key has no value, or the arithmetic is not possible.
        """
        try:
            return _evaluate(self._tree, self.inputs(drawn))
        except (ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise ExpressionError(f"{self.text}: {error}") from error

    def __str__(self) -> str:
        return self.text


def parse_expression(text: Any) -> Expression:
    """Parses an expression.

    Raises:
        ExpressionError: The text is not an expression over keys; the message names the rule.
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
        raise ExpressionError(f"{text!r} is not an expression{at}") from None
    _check_node(tree, text, 0)
    return tree


def _check_node(node: ast.expr, text: str, depth: int) -> None:
    """Raises an error for anything that an expression must not contain."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"must be nested at most {MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return
        case ast.Name() | ast.Attribute():
            _to_key(node, text)
            return
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Not(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, ops=ops, comparators=rest) if _are_comparisons(ops):
            parts = [left, *rest]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            parts = elements
        case _:
            segment = ast.get_source_segment(text, node) or text
            raise ExpressionError(
                "may have numbers, texts, keys, arithmetic, comparisons and and/or/not, "
                f"found {segment}"
            )
    for part in parts:
        _check_node(part, text, depth + 1)


def _are_comparisons(operators: list[ast.cmpop]) -> bool:
    return all(type(op) in _COMPARISONS for op in operators)


def _to_key(node: ast.expr, text: str) -> str:
    """The dotted key that a name or a chain of attributes spells."""
    if isinstance(node, ast.Attribute):
        return f"{_to_key(node.value, text)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ExpressionError(f"may have keys, found {ast.get_source_segment(text, node) or text}")


def _list_names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        key = _to_key(node, "")
        return [] if key in _CONSTANTS else [key]
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return [name for child in children for name in _list_names(child)]


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            key = _to_key(node, "")
            if key in _CONSTANTS:
                return _CONSTANTS[key]
            if key not in values:
                raise LookupError(f"{key} has no value")
            return values[key]
        case ast.UnaryOp(op=op, operand=operand):
            return _apply_unary(op, _evaluate(operand, values))
        case ast.BinOp(left=left, op=op, right=right):
            pair = _check_number(_evaluate(left, values)), _check_number(_evaluate(right, values))
            return _check_number(_ARITHMETIC[type(op)](*pair))
        case ast.BoolOp(op=op, values=parts):
            operands = (bool(_evaluate(part, values)) for part in parts)
            return all(operands) if isinstance(op, ast.And) else any(operands)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            sides = [_evaluate(side, values) for side in (left, *rest)]
            return all(_COMPARISONS[type(op)](sides[i], sides[i + 1]) for i, op in enumerate(ops))
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_evaluate(element, values) for element in elements]
    raise TypeError(f"unexpected {type(node).__name__}")


def _apply_unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.Not):
        return not value
    return -_check_number(value) if isinstance(op, ast.USub) else _check_number(value)


def _power(base: float, exponent: float) -> float:
    """An integer for small integers, else a float, which overflows before it gets too long."""
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 64 >= abs(base):
        result: int = base**exponent
        return result
    power: float = float(base) ** exponent
    return power


def _check_number(value: Any) -> Any:
    """Returns an operand or result of arithmetic unchanged; refuses texts, lists and booleans."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"arithmetic needs numbers, found {value!r}")
    if abs(value) > MAX_NUMBER:
        raise OverflowError(f"{value:.3g} is too large")
    return value
