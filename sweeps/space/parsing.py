"""How a search file writes an entry of its space: one kind, its arguments, perhaps a condition.

    optimizer.learning_rate: {loguniform: [1e-3, 1.0]}
    optimizer.momentum: {uniform: [0.8, 0.99], when: {optimizer.name: sgd}}

- `uniform`, `loguniform` `[low, high]`, and `quniform`, `qloguniform` `[low, high, q]`: numbers,
  with `q` the multiples of `q` between both ends.
- `randint`, `lograndint` `[low, high]`: whole numbers; `high` itself is never drawn.
- `qrandint`, `qlograndint` `[low, high, q]`: whole multiples of `q`; `high` can be drawn.
- `normal`, `lognormal` `[mean, sd]`, `qnormal` `[mean, sd, q]`: cut at four standard deviations,
  so that all that can be drawn is checked before a sweep starts. The mean and the standard
  deviation of `lognormal` are those of the natural logarithm.
- `choice` `[a, b, ...]`: one of these values. `grid` `[a, b, ...]`: each of them in turn.
- `expr` `text`: what an expression over other keys comes to (`sweeps.space.expressions`).
- `zip` `{key: [a, b, ...]}`: one of these values, at the position of the other key's, which must
  be a `choice` or `grid` of the same space.
- `when: {key: value or [values]}`: the hyperparameter exists only while each key, which must be
  a `choice` or `grid` of the same space, has one of these values.

`{min: , max: , log: true}` and `{values: [...]}` are read too; a range with two whole ends then
includes both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from sweeps.space.distributions import Choice, Normal, Range
from sweeps.space.expressions import Expression, ExpressionError, parse_expression
from sweeps.space.parameters import Computed, Entry, Linked, shown
from trainable.config.names import suggestion

ARGUMENTS = {
    "uniform": "low, high",
    "quniform": "low, high, q",
    "loguniform": "low, high",
    "qloguniform": "low, high, q",
    "randint": "low, high",
    "qrandint": "low, high, q",
    "lograndint": "low, high",
    "qlograndint": "low, high, q",
    "normal": "mean, sd",
    "qnormal": "mean, sd, q",
    "lognormal": "mean, sd",
    "choice": "a, b, ...",
    "grid": "a, b, ...",
    "expr": "text",
    "zip": "key: [a, b, ...]",
}
"""Every kind and what it takes."""


def parse_entry(raw: Any) -> Entry:
    """Reads one entry.

    Raises:
        ValueError: With the rule that it breaks; begins with the key that breaks it.
    """
    if isinstance(raw, Entry):
        return raw
    if isinstance(raw, list):
        raise ValueError(_two_readings(raw))
    if not isinstance(raw, Mapping):
        raise ValueError(
            "must be a distribution such as {choice: [1, 2]}; a constant belongs in config, "
            f"found {shown(raw)}"
        )
    body = {key: value for key, value in raw.items() if key != "when"}
    kind, arguments = _kind_and_arguments(body)
    when = _parse_when(raw.get("when", {}))
    if kind == "expr":
        return Computed(kind, _parse_expression(arguments), when=when)
    if kind == "zip":
        leader, values = _parse_zip(arguments)
        return Linked(kind, leader, (), values, when=when)
    if kind in ("choice", "grid"):
        return Choice(kind, _parse_values(next(iter(body)), arguments), when=when)
    numbers = _parse_numbers(kind, arguments)
    if "normal" in kind:
        normal = Normal(kind, *numbers, when=when)
        _check_normal(normal)
        return normal
    found = Range(kind, *numbers, when=when)
    _check_range(found)
    return found


def _two_readings(values: list[Any]) -> str:
    text = "a bare list can be read in two ways: "
    text += f"write {{choice: {shown(values)}}} to try these values, "
    if len(values) == 2 and all(map(_is_number, values)):
        return f"{text}or {{uniform: {shown(values)}}} for the range between them"
    return f"{text}or {{uniform: [low, high]}} for a range"


def _kind_and_arguments(body: dict[str, Any]) -> tuple[str, Any]:
    if body.keys() & {"min", "max", "values", "value"}:
        return _other_form(body)
    foreign = [key for key in body if key not in ARGUMENTS]
    if len(body) == 1 and foreign:
        kind = foreign[0]
        if isinstance(body[kind], Mapping):
            raise ValueError(f"{kind} must be part of one dotted key, not a mapping in a mapping")
        raise ValueError(f"{kind} unknown distribution{suggestion(kind, ARGUMENTS)}")
    if len(body) == 2 and len(foreign) == 1:
        raise ValueError(f"{foreign[0]} unknown key{suggestion(foreign[0], ['when'])}")
    if len(body) != 1:
        found = ", ".join(body) or "none"
        raise ValueError(f"must name one distribution, and at most when beside it, found {found}")
    return next(iter(body.items()))


def _other_form(body: dict[str, Any]) -> tuple[str, Any]:
    """`{min, max, log}` and `{values}` as a kind and its arguments."""
    if body.keys() == {"values"}:
        return "choice", body["values"]
    if body.keys() == {"value"}:
        raise ValueError(f"value is a constant, which belongs in config, found {shown(body)}")
    if body.keys() - {"log"} != {"min", "max"}:
        found = ", ".join(body)
        raise ValueError(f"must have min and max, and at most log beside them, found {found}")
    low, high, log = body["min"], body["max"], body.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, found {shown(log)}")
    for key in ("min", "max"):
        if not _is_number(body[key]):
            raise ValueError(f"{key} must be a finite number, found {shown(body[key])}")
    if low >= high:
        raise ValueError(f"min must be below max ({shown(high)}), found {shown(low)}")
    if log and low <= 0:
        raise ValueError(f"min must be > 0 with log: true, found {shown(low)}")
    if isinstance(low, int) and isinstance(high, int):
        return "lograndint" if log else "randint", [low, high + 1]
    return "loguniform" if log else "uniform", [low, high]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _parse_numbers(kind: str, arguments: Any) -> list[Any]:
    wanted = ARGUMENTS[kind]
    if not isinstance(arguments, list) or len(arguments) != wanted.count(",") + 1:
        raise ValueError(f"{kind} must be [{wanted}], found {shown(arguments)}")
    wrong = [value for value in arguments if not _is_number(value)]
    if wrong:
        raise ValueError(f"{kind} must be finite numbers, found {shown(wrong[0])}")
    if "randint" not in kind:
        return [float(value) for value in arguments]
    broken = [value for value in arguments if not isinstance(value, int)]
    if broken:
        raise ValueError(f"{kind} must be whole numbers, found {shown(broken[0])}")
    return arguments


def _check_range(found: Range) -> None:
    low, high, q = found.low, found.high, found.q
    if low >= high:
        ends = shown(found.arguments[:2])
        raise ValueError(f"{found.kind} must have its low end below its high end, found {ends}")
    if "log" in found.kind and low <= 0:
        raise ValueError(f"{found.kind} must have its low end > 0, found {shown(low)}")
    if q is None:
        return
    if q <= 0:
        raise ValueError(f"{found.kind} must have q > 0, found {shown(q)}")
    if found.corners[0] >= found.corners[1]:
        raise ValueError(
            f"{found.kind} must hold two multiples of q or more, found {shown(found.arguments)}"
        )


def _check_normal(found: Normal) -> None:
    if found.sd <= 0:
        raise ValueError(f"{found.kind} must have sd > 0, found {shown(found.sd)}")
    if found.q is not None and found.q <= 0:
        raise ValueError(f"{found.kind} must have q > 0, found {shown(found.q)}")
    try:
        finite = all(map(math.isfinite, found.corners))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(
            f"{found.kind} must stay finite up to four standard deviations, "
            f"found {shown(found.arguments)}"
        )


def _parse_expression(text: Any) -> Expression:
    try:
        return parse_expression(text)
    except ExpressionError as error:
        raise ValueError(f"expr {error}") from None


def _parse_zip(arguments: Any) -> tuple[str, tuple[Any, ...]]:
    if not isinstance(arguments, Mapping) or len(arguments) != 1:
        raise ValueError(f"zip must be {{key: [a, b, ...]}}, found {shown(arguments)}")
    ((leader, values),) = arguments.items()
    if not isinstance(values, list) or not values or not all(map(_is_plain, values)):
        raise ValueError(f"zip.{leader} must be a list of values, found {shown(values)}")
    return leader, tuple(values)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(each) for k, each in value.items())
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _parse_values(written: str, arguments: Any) -> tuple[Any, ...]:
    if not isinstance(arguments, list) or not arguments:
        raise ValueError(f"{written} must be a list of values, found {shown(arguments)}")
    wrong = [value for value in arguments if not _is_plain(value)]
    if wrong:
        raise ValueError(
            f"{written} must be plain values (text, numbers, true, false, null, or lists and "
            f"mappings of them), found {shown(wrong[0])}"
        )
    texts = [shown(value) for value in arguments]
    twice = [text for index, text in enumerate(texts) if text in texts[:index]]
    if twice:
        raise ValueError(f"{written} must have each value once, found {twice[0]} twice")
    return tuple(arguments)


def _parse_when(raw: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"when must be a mapping of keys to values, found {shown(raw)}")
    when = {}
    for key, allowed in raw.items():
        listed = allowed if isinstance(allowed, list) else [allowed]
        if not listed or not all(map(_is_plain, listed)):
            raise ValueError(
                f"when.{key} must be a value or a list of values, found {shown(allowed)}"
            )
        when[key] = tuple(listed)
    return when
