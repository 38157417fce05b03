"""Lists the training configs of a sweep that differ in what is checked before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from sweeps.space.distributions import Distribution
from sweeps.space.expressions import ExpressionError
from sweeps.space.search_space import Values, draw, satisfies
from sweeps.spec.search_spec import SearchSpec
from trainable.config import TrainConfig
from trainable.errors import ConfigError

MAX_VARIANTS = 64
"""Combinations of values that are checked."""

CHECKED_SECTIONS = ("dataset", "loss", "model")
CHECKED_KEYS = (
    *("optimizer", "optimizer.name", "training.batch_size", "training.epochs"),
    *("augment.cutmix", "augment.mixup", "ema.enabled"),
)
"""Sections and keys of a training config that the checks read."""


@dataclass(frozen=True)
class Variant:
    """One training config and the values of the space that distinguish it."""

    values: Values
    config: TrainConfig


def list_variants(spec: SearchSpec) -> list[Variant]:
    """Returns a config for every combination of the values that the checks depend on.

    Of a range these are both ends. All other keys have their first value.

    Args:
        spec: A checked search file.
    """
    variants: dict[str, Variant] = {}
    for values in islice(_list_draws(spec), MAX_VARIANTS):
        try:
            config = spec.trial_config(values, 0)
        except ConfigError:
            continue  # two ends that are never drawn together
        checked = {key: value for key, value in values.items() if _is_checked(key)}
        variants.setdefault(str(sorted(checked.items(), key=str)), Variant(checked, config))
    return list(variants.values()) or [Variant({}, spec.training)]


def _is_checked(key: str) -> bool:
    is_argument = key.startswith("optimizer.args.")
    return key.partition(".")[0] in CHECKED_SECTIONS or key in CHECKED_KEYS or is_argument


def _list_draws(spec: SearchSpec) -> Iterator[Values]:
    varied = {
        key: parameter.extremes
        for key, parameter in spec.space.items()
        if isinstance(parameter, Distribution) and _is_checked(key)
    }
    for combination in product(*varied.values()):
        values = _draw(spec, dict(zip(varied, combination, strict=True)))
        if values is not None and satisfies(spec.constraints, values):
            yield values


def _draw(spec: SearchSpec, given: Mapping[str, Any]) -> Values | None:
    def pick(key: str, distribution: Distribution) -> Any:
        return given.get(key, distribution.extremes[0])

    try:
        return draw(spec.space, pick)
    except ExpressionError:
        return None
