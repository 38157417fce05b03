"""What must agree between the keys of a search file each of which is good by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from typing import Any

from sweeps.space.distributions import Choice, Distribution
from sweeps.space.expressions import ExpressionError
from sweeps.space.parameters import ExpressionParameter, to_json
from sweeps.space.search_space import (
    MAX_GRID_POINTS,
    MAX_REJECTED_DRAWS,
    Space,
    Values,
    grid_part,
    grid_points,
    grid_size,
    is_finite,
    random_draw,
)
from sweeps.spec.schedulers import FIFO, PB2, PBT, BOHBHyperBand, HyperBand
from sweeps.spec.search_algorithms import NEEDS, ONE_METRIC, WARM
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validate_parameters import check_expressions, check_parameters
from sweeps.spec.validate_scheduler import check_scheduler
from sweeps.spec.validate_space import check_configs, check_keys, drop_keys, find_broken_draw
from trainable.config.dotted import flatten
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey

CHECKED_DRAWS = 256
"""First draws of a sweep that are made into configs before it starts."""

Found = tuple[PathKey, str]
"""Where in the search file, and the rule."""


def search_problems(spec: SearchSpec, *, is_config_good: bool) -> list[Found]:
    """What is wrong between the keys of a search file each of which is good by itself."""
    unknown = _under_space(check_keys(spec.space))
    found = _under_space(check_parameters(spec.space))
    if found:
        return [*unknown, *found]
    if is_config_good:  # else expressions know none of its values
        found = list(check_expressions(spec.space, spec.constraints))
        if found:
            return [*unknown, *found]
    known = drop_keys(spec.space, {str(path[-1]) for path, _ in unknown})
    try:
        found = [*unknown, *_of_space(spec, known), *_about_search(spec)]
    except ExpressionError as error:
        return [*unknown, (("space",), f"some draws have no value: {error}")]
    if found or not is_config_good:
        return found
    return [*check_scheduler(spec), *_about_draws(spec)]


def _of_space(spec: SearchSpec, known: Space) -> Iterator[Found]:
    yield from _under_space(check_configs(known, spec.constraints, spec.config))
    if isinstance(spec.space.get("training.epochs"), ExpressionParameter):
        yield (
            ("space", "training.epochs"),
            "must not be an expr: its largest value is needed",
        )


def _under_space(found: Iterable[Found]) -> list[Found]:
    return [(("space", *path), rule) for path, rule in found]


def _about_draws(spec: SearchSpec) -> Iterator[Found]:
    """Makes the first draws into configs, and those that constraints leave impossible."""
    good: list[Values] = []
    for number, values in enumerate(islice(_draws(spec), CHECKED_DRAWS)):
        if values is None:
            none = f"leave nothing to draw: none of {MAX_REJECTED_DRAWS} draws keeps them"
            if number < len(spec.tune.points_to_evaluate):
                none = (
                    f"must keep the constraints: none of {MAX_REJECTED_DRAWS} draws with it does"
                )
                yield ("tune", "points_to_evaluate", number), none
            else:
                yield ("constraints",), none + _without_a_value(spec)
            return
        good.append(values)
    broken = find_broken_draw(good, spec.config)
    if broken:
        yield ("space",), broken


def _without_a_value(spec: SearchSpec) -> str:
    """Which constraint cannot even be computed, and why."""
    values = random_draw(spec.space, (), [], spec.tune.seed, 0)
    for constraint in spec.constraints if values is not None else ():
        try:
            constraint.value(flatten(values or {}, keep_mappings=True))
        except ExpressionError as error:
            return f"; {error}"
    return ""


def _draws(spec: SearchSpec) -> Iterator[Values | None]:
    """The sweep's draws as far as they are known before it runs; else others like them."""
    if spec.tune.search_alg.name == "grid":
        yield from islice(grid_points(spec.space, spec.constraints), spec.tune.num_samples)
        return
    cycle = list(grid_points(grid_part(spec.space), spec.constraints))
    given = spec.tune.points_to_evaluate
    for number in range(spec.tune.num_samples):
        fixed = given[number] if number < len(given) else None
        yield random_draw(spec.space, spec.constraints, cycle, spec.tune.seed, number, fixed)


def _about_search(spec: SearchSpec) -> Iterator[Found]:
    name, scheduler = spec.tune.search_alg.name, spec.tune.scheduler.name
    at = ("tune", "search_alg")
    for key, found in spec.space.items():
        if name == "grid" and isinstance(found, Distribution) and not isinstance(found, Choice):
            yield at, f"grid takes choice and grid only, found {found.kind} for {key}"
        if name not in ("grid", "random") and found.kind == "grid":
            yield at, f"{name} takes no grid, found one for {key}; write choice"
    missing = _missing_package(name)
    if missing:
        yield at, missing
    if spec.tune.warm_start is not None and name not in WARM:
        yield ("tune", "warm_start"), f"{name} learns from no earlier trials; use tpe"
    if name == "bohb" and scheduler not in ("asha", "bohb"):
        yield at, f"bohb learns between the rungs of a scheduler, bohb or asha, found {scheduler}"
    yield from _about_grid(spec)
    yield from _about_points(spec)
    yield from _about_more_metrics(spec)
    yield from _about_copies(spec)


def _missing_package(name: str) -> str | None:
    """What is wrong with the package that an algorithm needs, and what mends it."""
    needed = NEEDS.get(name)
    if needed is None:
        return None
    absent = [module for module in needed.modules if find_spec(module) is None]
    if absent:
        whose = "" if absent[0] == needed.modules[0] else f" with its {absent[0]}"
        return f"{name} needs the package {needed.package}{whose}, not here: {needed.command}"
    if needed.below is None:
        return None
    found = version(needed.package)
    if _numbers(found) < _numbers(needed.below):
        return None
    rule = f"{name} works with {needed.package} below {needed.below}, found {found}"
    return f"{rule}: {needed.command}"


def _numbers(version_text: str) -> list[int]:
    """`1.3.1.post2` as `[1, 3]`."""
    return [int(part) for part in version_text.split(".")[:2] if part.isdigit()]


def _about_grid(spec: SearchSpec) -> Iterator[Found]:
    name, wanted = spec.tune.search_alg.name, spec.tune.num_samples
    space = spec.space if name == "grid" else grid_part(spec.space)
    if not is_finite(space):
        return
    size = grid_size(space, spec.constraints)
    if size is not None and size > MAX_GRID_POINTS:
        yield ("space",), f"must have at most {MAX_GRID_POINTS} points in its grid"
    elif size == 0:
        yield ("constraints",), "leave no point of the grid"
    elif size is not None and name == "grid" and wanted > size:
        rule = f"must be at most the size of the grid ({size}), found {wanted}"
        yield ("tune", "num_samples"), rule


def _about_points(spec: SearchSpec) -> Iterator[Found]:
    points = spec.tune.points_to_evaluate
    if not points:
        return
    at: PathKey = ("tune", "points_to_evaluate")
    if spec.tune.search_alg.name == "grid":
        yield at, "grid tries every point by itself"
    if len(points) > spec.tune.num_samples:
        yield at, f"must be at most num_samples ({spec.tune.num_samples}), found {len(points)}"
    for number, point in enumerate(points):
        for key, value in point.items():
            yield from _about_point(spec, (*at, number, key), key, value)
        for key in point.keys() & spec.space.keys():
            yield from _about_absence(spec, (*at, number, key), key, point)


def _about_point(spec: SearchSpec, at: PathKey, key: str, value: Any) -> Iterator[Found]:
    found = spec.space.get(key)
    if found is None:
        yield at, f"must be a key of the space{suggestion(key, spec.space)}"
    elif not isinstance(found, Distribution):
        yield at, f"follows from other keys ({found.kind}); leave it out"
    elif not found.can_draw(value):
        yield at, f"must be one that {to_json(found.to_dict())} can draw, found {to_json(value)}"


def _about_absence(
    spec: SearchSpec, at: PathKey, key: str, point: Mapping[str, Any]
) -> Iterator[Found]:
    """A key that is given where its condition does not hold."""
    for parent, allowed in spec.space[key].when.items():
        if parent in point and to_json(point[parent]) not in map(to_json, allowed):
            yield at, f"does not exist where {parent} is {to_json(point[parent])}; leave it out"


def _about_more_metrics(spec: SearchSpec) -> Iterator[Found]:
    tune = spec.tune
    if not tune.pareto:
        return
    at: PathKey = ("tune", "pareto")
    if tune.metric in tune.pareto:
        yield (*at, tune.metric), "is the metric already"
    if tune.search_alg.name in ONE_METRIC:
        yield at, f"{tune.search_alg.name} works with one metric; use tpe, gp, qmc, random or grid"
    if not isinstance(tune.scheduler, FIFO):
        yield at, f"{tune.scheduler.name} judges trials by one metric; use fifo"
    if tune.target is not None:
        yield at, "target ends a sweep by one metric; leave one of them out"


def _about_copies(spec: SearchSpec) -> Iterator[Found]:
    scheduler = spec.tune.scheduler
    if spec.tune.repeats > 1 and not isinstance(scheduler, FIFO):
        rule = (
            f"{scheduler.name} would end copies of one configuration at different epochs; "
            "use fifo, or final to repeat the winners"
        )
        yield ("tune", "repeats"), rule
    if spec.tune.final is not None and isinstance(
        scheduler, HyperBand | BOHBHyperBand | PBT | PB2
    ):
        yield ("tune", "final"), f"{scheduler.name} takes no trials that it does not judge"
