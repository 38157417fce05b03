"""Recognises parameters of a space that are written as for another tool.

Those of W&B sweeps (`distribution`), NNI (`_type`, `_value`), Determined (`type`, `minval`),
Optuna and Keras Tuner (`type`, `low`, `min_value`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.space.parameters import to_json
from trainable.config.synonyms import simplify

_KIND_KEYS = ("distribution", "_type", "type")
_LOW_KEYS = ("min", "low", "lower", "minval", "min_value", "mu")
_HIGH_KEYS = ("max", "high", "upper", "maxval", "max_value", "sigma")
_STEP_KEYS = ("q", "step")
_VALUES_KEYS = ("values", "vals", "_value", "value", "val", "options", "categories", "choices")

_KINDS = {
    "uniform": "float double real uniform",
    "loguniform": "loguniformvalues loguniform logfloat loguniformfloat",
    "randint": "int integer intuniform randint",
    "lograndint": "logint",
    "quniform": "quniform",
    "qloguniform": "qloguniform qloguniformvalues",
    "normal": "normal",
    "qnormal": "qnormal",
    "lognormal": "lognormal",
    "choice": "categorical choice",
}
_NAMES = {name: kind for kind, names in _KINDS.items() for name in names.split()}
"""Kinds of other tools, without separators -> ours."""

_MAX_EXPONENT = 20


def explain_foreign_form(raw: Mapping[str, Any]) -> str | None:
    """Returns how a parameter in another tool's form is written here; None for other mappings."""
    key = next((key for key in _KIND_KEYS if isinstance(raw.get(key), str)), None)
    if key is None:
        return None
    name = simplify(raw[key])
    if name in ("constant", "const"):
        return f"{key}: {raw[key]} is a constant, which belongs in config"
    kind, arguments = _translate(name, raw)
    written = f"{{{kind}: [{', '.join(arguments)}]}}"
    return f"{key}: {raw[key]} is written {written} here"


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
    if name == "log" and all(isinstance(end, int | float) for end in ends):
        base = raw.get("base", 10)
        ends = [float(base**end) for end in ends]  # Determined's are exponents
    texts = [
        word if end is None else to_json(end)
        for word, end in zip(("low", "high"), ends, strict=True)
    ]
    step = _find(raw, _STEP_KEYS)
    return kind, texts + ([to_json(step)] if kind.startswith("q") and step is not None else [])


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
