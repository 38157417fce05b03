"""Reads a parameter of a space as a search file writes it: a kind, its arguments, a condition.

    optimizer.learning_rate: {loguniform: [1e-3, 1.0]}
    optimizer.momentum: {uniform: [0.8, 0.99], when: {optimizer.name: sgd}}

- `uniform`, `loguniform` `[low, high]`, and `quniform`, `qloguniform` `[low, high, q]`: numbers;
  with `q`, its multiples between both ends.
- `randint`, `lograndint` `[low, high]`: integers; `high` itself is never drawn.
- `qrandint`, `qlograndint` `[low, high, q]`: integer multiples of `q`; `high` can be drawn.
- `normal`, `lognormal` `[mean, sd]`, `qnormal` `[mean, sd, q]`: cut at four standard deviations,
  so that everything that can be drawn is checked before a sweep starts. The mean and the standard
  deviation of `lognormal` are those of the natural logarithm.
- `choice` `[a, b, ...]`: one of these values, drawn in proportion to `weights` `[3, 1, ...]` if
  that is beside it. A range or normal distribution among them is drawn from in turn.
- `grid` `[a, b, ...]`: each of these values in turn.
- `expr` `text`: the value of an expression over other keys (`sweeps.space.expressions`).
- `zip` `{key: [a, b, ...]}`: one of these values, at the position of the other key's value. The
  other key must be a `choice` or `grid` of the same space.
- `when: {key: value or [values]}`: the hyperparameter exists only while each key has one of these
  values. Each key must be a `choice` or `grid` of the same space.

`{min: , max: , log: true}` and `{values: [...]}` are read too; a range with two integer ends then
includes both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from sweeps.space.distributions import Choice, Normal, NumericDistribution, Range
from sweeps.space.expressions import Expression, ExpressionError, parse_expression
from sweeps.space.foreign_forms import explain_exponents, explain_foreign_form
from sweeps.space.mixture import Mixture, build_mixture
from sweeps.space.parameters import ExpressionParameter, Parameter, ZippedParameter, to_json
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
"""Every kind and its arguments."""

_RANGES: dict[str, dict[str, bool]] = {
    "uniform": {},
    "loguniform": {"log": True},
    "randint": {"integer": True},
    "lograndint": {"log": True, "integer": True},
}
_NORMALS: dict[str, dict[str, bool]] = {"normal": {}, "lognormal": {"log": True}}
"""Kinds of ranges and normal distributions, without the `q` of those that have a step."""

_BESIDE = ("when", "weights")
"""Keys that can stand beside the kind."""


def is_logarithmic(raw: Any) -> bool:
    """Returns whether a chart has a logarithmic axis for a parameter, given as in a file."""
    kinds = {kind for kind, options in (_RANGES | _NORMALS).items() if options.get("log")}
    return isinstance(raw, Mapping) and any(str(key).removeprefix("q") in kinds for key in raw)


def parse_parameter(raw: Any) -> Parameter:
    """Parses one parameter.

    Raises:
        ValueError: A rule is broken; the message begins with the key that breaks it.
    """
    if isinstance(raw, Parameter):
        return raw
    if isinstance(raw, list):
        raise ValueError(_explain_bare_list(raw))
    if not isinstance(raw, Mapping):
        raise ValueError(
            "must be a distribution such as {choice: [1, 2]}; a constant belongs in config, "
            f"found {to_json(raw)}"
        )
    hint = explain_foreign_form(raw)
    if hint is not None:
        raise ValueError(hint)
    body = {key: value for key, value in raw.items() if key not in _BESIDE}
    kind, arguments = _split_body(body)
    when = _parse_when(raw.get("when") or {})
    if raw.get("weights") is not None and kind != "choice":
        raise ValueError(f"weights belongs to choice, found it beside {kind}")
    if kind == "expr":
        return ExpressionParameter(_parse_expression(arguments), when=when)
    if kind == "zip":
        source_key, values = _parse_zip(arguments)
        return ZippedParameter(source_key, (), values, when=when)
    if kind in ("choice", "grid"):
        return _parse_choice(next(iter(body)), kind, arguments, raw.get("weights"), when)
    return _parse_numeric(kind, arguments, when)


def _explain_bare_list(values: list[Any]) -> str:
    text = "a bare list can be read in two ways: "
    text += f"write {{choice: {to_json(values)}}} to try these values, "
    if len(values) == 2 and all(map(_is_number, values)):
        return f"{text}or {{uniform: {to_json(values)}}} for the range between them"
    return f"{text}or {{uniform: [low, high]}} for a range"


def _split_body(body: dict[str, Any]) -> tuple[str, Any]:
    """The kind and its arguments, whichever form they are written in."""
    if "values" in body:
        others = [key for key in body if key != "values"]
        if others:
            raise ValueError(f"{others[0]} unknown key{suggestion(others[0], _BESIDE)}")
        return "choice", body["values"]
    if body.keys() & {"min", "max", "value"}:
        return _split_range_form(body)
    foreign = [key for key in body if key not in ARGUMENTS]
    if len(body) == 1 and foreign:
        kind = foreign[0]
        if isinstance(body[kind], Mapping):
            raise ValueError(f"{kind} must be part of one dotted key, not a mapping in a mapping")
        raise ValueError(f"{kind} unknown distribution{suggestion(kind, ARGUMENTS)}")
    if len(body) == 2 and len(foreign) == 1:
        hint = suggestion(foreign[0], _BESIDE)
        raise ValueError(f"{foreign[0]} unknown key{hint}")
    if len(body) != 1:
        keys = ", ".join(body) or "none"
        raise ValueError(
            f"must name one distribution, and at most when and weights beside it, found {keys}"
        )
    return next(iter(body.items()))


def _split_range_form(body: dict[str, Any]) -> tuple[str, Any]:
    """`{min, max, log}` as a kind and its arguments."""
    if body.keys() == {"value"}:
        raise ValueError(f"value is a constant, which belongs in config, found {to_json(body)}")
    if body.keys() - {"log"} != {"min", "max"}:
        keys = ", ".join(body)
        raise ValueError(f"must have min and max, and at most log beside them, found {keys}")
    low, high, log = body["min"], body["max"], body.get("log") or False
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, found {to_json(log)}")
    for key in ("min", "max"):
        if not _is_number(body[key]):
            raise ValueError(f"{key} must be a finite number, found {to_json(body[key])}")
    if low >= high:
        raise ValueError(f"min must be below max ({to_json(high)}), found {to_json(low)}")
    if log and low <= 0:
        hint = explain_exponents(low, high)
        raise ValueError(f"min must be > 0 with log: true{hint}, found {to_json(low)}")
    if isinstance(low, int) and isinstance(high, int):
        return "lograndint" if log else "randint", [low, high + 1]
    return "loguniform" if log else "uniform", [low, high]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _parse_numeric(
    kind: str, arguments: Any, when: Mapping[str, tuple[Any, ...]]
) -> Range | Normal:
    base = kind.removeprefix("q")
    flags = _RANGES[base] if base in _RANGES else _NORMALS[base]
    first, second, *step = _parse_numbers(kind, arguments, integer="integer" in flags)
    settings: dict[str, Any] = {**flags, "step": step[0] if step else None, "when": when}
    if base in _NORMALS:
        normal = Normal(first, second, **settings)
        _check_normal(normal)
        return normal
    numbers = Range(first, second, **settings)
    _check_range(numbers)
    return numbers


def _parse_numbers(kind: str, arguments: Any, *, integer: bool) -> list[Any]:
    names = ARGUMENTS[kind]
    if not isinstance(arguments, list) or len(arguments) != names.count(",") + 1:
        raise ValueError(f"{kind} must be [{names}], found {to_json(arguments)}")
    others = [value for value in arguments if not _is_number(value)]
    if others:
        raise ValueError(f"{kind} must be finite numbers, found {to_json(others[0])}")
    if not integer:
        return [float(value) for value in arguments]
    fractions = [value for value in arguments if not isinstance(value, int)]
    if fractions:
        raise ValueError(f"{kind} must be whole numbers, found {to_json(fractions[0])}")
    return arguments


def _check_range(numbers: Range) -> None:
    kind, low, high, step = numbers.kind, numbers.low, numbers.high, numbers.step
    if low >= high:
        ends = to_json([low, high])
        raise ValueError(f"{kind} must have its low end below its high end, found {ends}")
    if numbers.log and low <= 0:
        hint = "" if numbers.integer else explain_exponents(low, high)
        raise ValueError(f"{kind} must have its low end > 0{hint}, found {to_json(low)}")
    if step is None:
        return
    if step <= 0:
        raise ValueError(f"{kind} must have q > 0, found {to_json(step)}")
    if numbers.extremes[0] >= numbers.extremes[1]:
        raise ValueError(
            f"{kind} must hold two multiples of q or more, found {to_json(numbers.arguments)}"
        )


def _check_normal(normal: Normal) -> None:
    if normal.sd <= 0:
        raise ValueError(f"{normal.kind} must have sd > 0, found {to_json(normal.sd)}")
    if normal.step is not None and normal.step <= 0:
        raise ValueError(f"{normal.kind} must have q > 0, found {to_json(normal.step)}")
    try:
        is_finite = all(map(math.isfinite, normal.extremes))
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ValueError(
            f"{normal.kind} must stay finite up to four standard deviations, "
            f"found {to_json(normal.arguments)}"
        )


def _parse_expression(text: Any) -> Expression:
    try:
        return parse_expression(text)
    except ExpressionError as error:
        raise ValueError(f"expr {error}") from None


def _parse_zip(arguments: Any) -> tuple[str, tuple[Any, ...]]:
    if not isinstance(arguments, Mapping) or len(arguments) != 1:
        raise ValueError(f"zip must be {{key: [a, b, ...]}}, found {to_json(arguments)}")
    ((source_key, values),) = arguments.items()
    if not isinstance(values, list) or not values or not all(map(_is_plain, values)):
        raise ValueError(f"zip.{source_key} must be a list of values, found {to_json(values)}")
    return source_key, tuple(values)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _parse_choice(
    key: str, kind: str, arguments: Any, weights: Any, when: Mapping[str, tuple[Any, ...]]
) -> Choice | Mixture:
    """Parses a list of values; `key` is `choice`, `grid` or `values`, as it is written."""
    if not isinstance(arguments, list) or not arguments:
        raise ValueError(f"{key} must be a list of values, found {to_json(arguments)}")
    inner = {at: value for at, value in enumerate(arguments) if _is_parameter(value)}
    plain = [value for at, value in enumerate(arguments) if at not in inner]
    values = _parse_values(key, plain)
    settings: dict[str, Any] = {"weights": _parse_weights(weights, len(arguments)), "when": when}
    if not inner:
        return Choice(values, is_grid=kind == "grid", **settings)
    if kind == "grid":
        raise ValueError(f"{key} must be plain values, found {to_json(inner.popitem()[1])}")
    distributions = {at: _parse_inner(key, value) for at, value in inner.items()}
    options = [distributions.get(at, value) for at, value in enumerate(arguments)]
    return build_mixture(options, **settings)


def _is_parameter(value: Any) -> bool:
    """Whether a value of a list is a parameter; a mapping of a section's keys is not."""
    return isinstance(value, Mapping) and (
        bool(value.keys() & ARGUMENTS.keys()) or {"min", "max"} <= value.keys()
    )


def _parse_inner(key: str, value: Any) -> NumericDistribution:
    parameter = parse_parameter(value)
    if not isinstance(parameter, NumericDistribution) or parameter.when:
        raise ValueError(
            f"{key} can have ranges and normal distributions among its values, "
            f"found {to_json(value)}"
        )
    return parameter


def _parse_weights(weights: Any, count: int) -> tuple[float, ...]:
    if weights is None:
        return ()
    if not isinstance(weights, list) or not all(map(_is_number, weights)):
        raise ValueError(f"weights must be a list of numbers, found {to_json(weights)}")
    if len(weights) != count:
        raise ValueError(f"weights must have one number for each value ({count}), "
                         f"found {len(weights)}")  # fmt: skip
    lowest = min(weights)
    if lowest <= 0:
        raise ValueError(f"weights must be > 0, found {to_json(lowest)}; leave such a value out")
    return tuple(float(weight) for weight in weights)


def _parse_values(key: str, arguments: list[Any]) -> tuple[Any, ...]:
    others = [value for value in arguments if not _is_plain(value)]
    if others:
        raise ValueError(
            f"{key} must be plain values (text, numbers, true, false, null, or lists and "
            f"mappings of them), found {to_json(others[0])}"
        )
    texts = [to_json(value) for value in arguments]
    repeated = [text for index, text in enumerate(texts) if text in texts[:index]]
    if repeated:
        raise ValueError(f"{key} must have each value once, found {repeated[0]} twice")
    return tuple(arguments)


def _parse_when(raw: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"when must be a mapping of keys to values, found {to_json(raw)}")
    when = {}
    for key, allowed in raw.items():
        values = allowed if isinstance(allowed, list) else [allowed]
        if not values or not all(map(_is_plain, values)):
            raise ValueError(
                f"when.{key} must be a value or a list of values, found {to_json(allowed)}"
            )
        when[key] = tuple(values)
    return when
