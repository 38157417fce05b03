"""Checks `tune.points_to_evaluate`: values that can be drawn, each configuration once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.space.distributions import Distribution
from sweeps.space.parameters import to_json
from sweeps.space.search_space import Space, Values, draw
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.violations import Violation
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey, dotted

POINTS: PathKey = ("tune", "points_to_evaluate")


def _count_points(spec: SearchSpec) -> Iterator[Violation]:
    points, num_samples = spec.tune.points_to_evaluate, spec.tune.num_samples
    if points and spec.tune.search_alg.name == "grid":
        yield POINTS, "grid tries every point by itself"
    if len(points) > num_samples:
        yield POINTS, f"must be at most num_samples ({num_samples}), found {len(points)}"


def _check_points(spec: SearchSpec) -> Iterator[Violation]:
    for number, point in enumerate(spec.tune.points_to_evaluate):
        for key, value in point.items():
            yield from _check_point_value(spec, (*POINTS, number, key), key, value)
        for key in point.keys() & spec.space.keys():
            yield from _check_point_condition(spec, (*POINTS, number, key), key, point)


def _check_point_value(
    spec: SearchSpec, path: PathKey, key: str, value: Any
) -> Iterator[Violation]:
    entry = spec.space.get(key)
    if entry is None:
        yield path, f"must be a key of the space{suggestion(key, spec.space)}"
    elif not isinstance(entry, Distribution):
        yield path, f"follows from other keys ({entry.kind}); leave it out"
    elif not entry.can_draw(value):
        rule = f"must be one that {to_json(entry.to_dict())} can draw, found {to_json(value)}"
        yield path, rule


def _check_point_condition(
    spec: SearchSpec, path: PathKey, key: str, point: Mapping[str, Any]
) -> Iterator[Violation]:
    """Finds a key that is given although its condition does not hold."""
    for parent, allowed in spec.space[key].when.items():
        if parent in point and to_json(point[parent]) not in map(to_json, allowed):
            yield path, f"does not exist where {parent} is {to_json(point[parent])}; leave it out"


def check_repeated_points(spec: SearchSpec) -> Iterator[Violation]:
    """Finds points that give every value of a configuration that an earlier one gives."""
    numbers: dict[str, int] = {}
    for number, point in enumerate(spec.tune.points_to_evaluate):
        values = _complete_point(spec.space, point)
        if not values:
            continue
        text = to_json(dict(sorted(values.items())))
        if text in numbers:
            rule = (
                f"is the configuration of {dotted(POINTS)}[{numbers[text]}] again; leave it out "
                "(tune.repeats trains every configuration several times)"
            )
            yield (*POINTS, number), rule
        numbers.setdefault(text, number)


def _complete_point(space: Space, point: Mapping[str, Any]) -> Values | None:
    """Returns the configuration that a point gives; None if some of its keys are left out."""

    def pick(key: str, entry: Distribution) -> Any:
        return entry.convert(point[key])

    try:
        return draw(space, pick)
    except (KeyError, ValueError, TypeError):  # left out; or a value that is refused anyway
        return None


POINT_CHECKS = (
    (_count_points, "search_alg num_samples points_to_evaluate"),
    (_check_points, "points_to_evaluate"),
)
"""Checks, each with the keys of `tune` and the parts of the file that it reads."""
