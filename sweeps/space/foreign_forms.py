"""Recognises parameters of a space that are written as for another tool.

Those of W&B sweeps (`distribution`), NNI (`_type`, `_value`), Determined (`type`, `minval`),
Ludwig (`space`, `lower`), Optuna and Keras Tuner (`type`, `low`, `min_value`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeps.space.parameters import to_json
from trainable.config.synonyms import simplify

_KIND_KEYS = ("distribution", "_type", "type", "space")
_LOW_KEYS = ("min", "low", "lower", "minval", "min_value", "mu", "mean")
_HIGH_KEYS = ("max", "high", "upper", "maxval", "max_value", "sigma", "sd")
_STEP_KEYS = ("q", "step")
_VALUES_KEYS = ("values", "vals", "_value", "value", "val", "options", "categories", "choices")

_KINDS = {
    "uniform": "float double real uniform",
    "loguniform": "loguniformvalues loguniform logfloat loguniformfloat",
    "randint": "int integer intuniform randint",
    "lograndint": "logint",
    "quniform": "quniform",
    "qloguniform": "qloguniform qloguniformvalues",
    "normal": "normal randn",
    "qnormal": "qnormal qrandn",
    "lognormal": "lognormal",
    "choice": "categorical choice",
    "grid": "gridsearch",
}
_NAMES = {name: kind for kind, names in _KINDS.items() for name in names.split()}
"""Kinds of other tools, without separators -> ours."""

_NATURAL_EXPONENTS = ("log_uniform", "q_log_uniform")
"""W&B's old distributions whose ends are exponents of e."""
_INCLUSIVE = ("int", "integer", "intuniform")
"""Ranges of whole numbers whose high end can be drawn, unlike that of `randint`."""
_MAX_EXPONENT = 20


def explain_foreign_form(raw: Mapping[str, Any]) -> str | None:
    """Returns how a parameter in another tool's form is written here; None for other mappings."""
    key = next((key for key in _KIND_KEYS if isinstance(raw.get(key), str)), None)
    if key is None:
        return None
    name = simplify(raw[key])
    if name in ("constant", "const"):
        return f"{key}: {raw[key]} is a constant, which belongs in config"
    return f"{key}: {raw[key]} is written {_write(name, raw)} here"


def translate_foreign_form(raw: Mapping[str, Any]) -> str | None:
    """Returns a parameter of another tool as it is written here; None for unknown mappings."""
    key = next((key for key in _KIND_KEYS if isinstance(raw.get(key), str)), None)
    if key is not None:
        return _write(simplify(raw[key]), raw)
    if isinstance(raw.get("values"), list):
        return f"{{choice: {to_json(raw['values'])}}}"
    if {"min", "max"} <= raw.keys():
        return f"{{min: {to_json(raw['min'])}, max: {to_json(raw['max'])}}}"
    return None


def _write(name: str, raw: Mapping[str, Any]) -> str:
    kind, arguments = _translate(name, raw)
    return f"{{{kind}: [{', '.join(arguments)}]}}"


def _translate(name: str, raw: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Returns our kind and its arguments, with words for those that are not given."""
    kind = _NAMES.get(name, "loguniform" if "log" in name else "uniform")
    values = _find(raw, _VALUES_KEYS)
    if isinstance(values, list):
        if kind != "choice" and name not in _NAMES:
            kind = "choice"
        return kind, [to_json(value) for value in values]
    if kind == "choice":
        return kind, ["a", "b", "..."]
    ends = [_find(raw, _LOW_KEYS), _find(raw, _HIGH_KEYS)]
    if name == "log":
        ends = [_power(raw.get("base", 10), end) for end in ends]  # Determined's are exponents
    elif raw.get("distribution") in _NATURAL_EXPONENTS:
        ends = [_power(math.e, end) for end in ends]
    elif name in _INCLUSIVE and isinstance(ends[1], int):
        ends[1] += 1
    texts = [
        word if end is None else to_json(end)
        for word, end in zip(("low", "high"), ends, strict=True)
    ]
    step = _find(raw, _STEP_KEYS)
    return kind, texts + ([to_json(step)] if kind.startswith("q") and step is not None else [])


def _power(base: Any, exponent: Any) -> Any:
    """Returns the value that an exponent stands for, or the exponent where there is none."""
    try:
        return float(f"{base**exponent:.4g}")
    except (ArithmeticError, TypeError, ValueError):
        return exponent


def _find(raw: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((raw[key] for key in keys if key in raw), None)


def explain_exponents(low: float, high: float) -> str:
    """Returns a hint if the ends of a logarithmic range look like powers of ten."""
    if not -_MAX_EXPONENT <= low < 0 or not low < high <= _MAX_EXPONENT:
        return ""
    if low != int(low) or high != int(high):
        return " (values, not exponents)"
    ends = to_json([float(f"1e{low:g}"), float(f"1e{high:g}")])
    return f" (values, not exponents: {ends})"
