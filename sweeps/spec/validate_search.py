"""Checks the rules between keys of a search file that are valid one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    draw,
    grid_cycle,
    grid_part,
    grid_points,
    grid_size,
    is_finite,
    random_draw,
    select_decided,
)
from sweeps.spec.schedulers import FIFO, PB2, PBT, BOHBHyperBand, HyperBand
from sweeps.spec.search_algorithms import NOT_LEARNING_SAMPLERS, ONE_METRIC, WARM, OptunaSearch
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import METRICS, MODES
from sweeps.spec.validate_parameters import (
    check_expressions,
    check_parameters,
    explain_constraints,
)
from sweeps.spec.validate_scheduler import check_scheduler
from sweeps.spec.validate_space import check_configs, check_keys, drop_keys, find_broken_draw
from sweeps.spec.violations import Violation
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey, dotted

CHECKED_DRAWS = 256
"""First draws of a sweep that are made into training configs before it starts."""

SEARCH_ALG: PathKey = ("tune", "search_alg")
POINTS: PathKey = ("tune", "points_to_evaluate")


def check_search(
    spec: SearchSpec,
    config: Mapping[str, Any],
    *,
    is_config_good: bool,
    is_recorded: bool = False,
) -> list[Violation]:
    """Returns the rules that a search file breaks between its keys.

    Args:
        spec: A search file whose keys are valid one by one.
        config: The plain values of its training config.
        is_config_good: Whether its training config is valid; expressions need its values.
        is_recorded: Whether it is the file of a sweep that exists. Rules that earlier versions
            did not have are then left out, so that their sweeps can be read and resumed.
    """
    unknown = _below_space(check_keys(spec.space))
    violations = _below_space(check_parameters(spec.space))
    if violations:
        return [*unknown, *violations]
    if is_config_good and not is_recorded:
        violations = list(check_expressions(spec.space, spec.constraints, config))
        if violations:
            return [*unknown, *violations]
    known_space = drop_keys(spec.space, {str(path[-1]) for path, _ in unknown})
    try:
        violations = [*unknown, *_check_space(spec, known_space, config), *_check_algorithm(spec)]
        if not is_recorded:
            violations += [*_check_modes(spec), *_check_repeated_points(spec)]
    except ExpressionError as error:
        return [*unknown, (("space",), f"some draws have no value: {error}")]
    if violations or not is_config_good:
        return violations
    return [*check_scheduler(spec), *_check_draws(spec, config)]


def _check_space(spec: SearchSpec, space: Space, config: Mapping[str, Any]) -> Iterator[Violation]:
    constraints = select_decided(spec.constraints, spec.space, space)
    yield from _below_space(check_configs(space, constraints, config))
    if isinstance(spec.space.get("training.epochs"), ExpressionParameter):
        yield (
            ("space", "training.epochs"),
            "must not be an expr: its largest value is needed",
        )


def _below_space(violations: Iterable[Violation]) -> list[Violation]:
    return [(("space", *path), rule) for path, rule in violations]


def _check_draws(spec: SearchSpec, config: Mapping[str, Any]) -> Iterator[Violation]:
    """Makes the first draws into training configs, and finds those that constraints rule out."""
    draws: list[Values] = []
    for number, values in enumerate(islice(_preview_draws(spec), CHECKED_DRAWS)):
        if values is None:
            yield from _explain_missing_draw(spec, number)
            return
        draws.append(values)
    broken = find_broken_draw(draws, config)
    if broken:
        yield ("space",), broken


def _explain_missing_draw(spec: SearchSpec, number: int) -> Iterator[Violation]:
    if number < len(spec.tune.points_to_evaluate):
        rule = f"must keep the constraints: none of {MAX_REJECTED_DRAWS} draws with it does"
        yield (*POINTS, number), rule
        return
    space, seed = spec.space, spec.tune.seed
    draws = (random_draw(space, (), [], seed, at) for at in range(MAX_REJECTED_DRAWS))
    complete = [values for values in draws if values is not None]
    yield from explain_constraints(space, space, spec.constraints, complete, "draws")


def _preview_draws(spec: SearchSpec) -> Iterator[Values | None]:
    """Yields the sweep's draws where they are known before it runs; else others like them."""
    if spec.tune.search_alg.name == "grid":
        yield from islice(grid_points(spec.space, spec.constraints), spec.tune.num_samples)
        return
    cycle = list(grid_cycle(spec.space, spec.constraints))
    points = spec.tune.points_to_evaluate
    for number in range(spec.tune.num_samples):
        fixed = points[number] if number < len(points) else None
        yield random_draw(spec.space, spec.constraints, cycle, spec.tune.seed, number, fixed)


def _check_algorithm(spec: SearchSpec) -> Iterator[Violation]:
    name, scheduler = spec.tune.search_alg.name, spec.tune.scheduler.name
    for key, entry in spec.space.items():
        if name == "grid" and isinstance(entry, Distribution) and not isinstance(entry, Choice):
            yield SEARCH_ALG, f"grid takes choice and grid only, found {entry.kind} for {key}"
        if name not in ("grid", "random") and entry.kind == "grid":
            yield SEARCH_ALG, f"{name} takes no grid, found one for {key}; write choice"
    if name == "cmaes" and find_spec("cmaes") is None:
        yield (
            SEARCH_ALG,
            'cmaes needs the package cmaes, which is not installed: pip install "cmaes"',
        )
    if name == "bohb" and scheduler not in ("asha", "bohb"):
        rule = f"bohb learns between the rungs of a scheduler, bohb or asha, found {scheduler}"
        yield SEARCH_ALG, rule
    yield from _check_warm_start(spec)
    yield from _check_grid(spec)
    yield from _check_points(spec)
    yield from _check_pareto(spec)
    yield from _check_repeats(spec)


def _check_warm_start(spec: SearchSpec) -> Iterator[Violation]:
    search = spec.tune.search_alg
    if spec.tune.warm_start is None:
        return
    name = search.sampler if isinstance(search, OptunaSearch) else search.name
    if search.name not in WARM or name in NOT_LEARNING_SAMPLERS:
        yield ("tune", "warm_start"), f"{name} learns from no earlier trials; use tpe"


def _check_grid(spec: SearchSpec) -> Iterator[Violation]:
    name, num_samples = spec.tune.search_alg.name, spec.tune.num_samples
    space = spec.space if name == "grid" else grid_part(spec.space)
    constraints = select_decided(spec.constraints, spec.space, space)
    if not is_finite(space) or not (space or name == "grid"):
        return
    size = grid_size(space, constraints)
    if size is not None and size > MAX_GRID_POINTS:
        yield ("space",), f"must have at most {MAX_GRID_POINTS} points in its grid"
    elif size == 0:
        points = list(islice(grid_points(space), MAX_GRID_POINTS))
        yield from explain_constraints(spec.space, space, spec.constraints, points, "points")
    elif size is not None and name == "grid" and num_samples > size:
        rule = f"must be at most the size of the grid ({size}), found {num_samples}"
        yield ("tune", "num_samples"), rule


def _check_points(spec: SearchSpec) -> Iterator[Violation]:
    points, num_samples = spec.tune.points_to_evaluate, spec.tune.num_samples
    if not points:
        return
    if spec.tune.search_alg.name == "grid":
        yield POINTS, "grid tries every point by itself"
    if len(points) > num_samples:
        yield POINTS, f"must be at most num_samples ({num_samples}), found {len(points)}"
    for number, point in enumerate(points):
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


def _check_repeated_points(spec: SearchSpec) -> Iterator[Violation]:
    """Finds points that give every value of a configuration that an earlier one gives."""
    numbers: dict[str, int] = {}
    for number, point in enumerate(spec.tune.points_to_evaluate):
        values = _complete_point(spec.space, point)
        if values is None:
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


def _check_modes(spec: SearchSpec) -> Iterator[Violation]:
    """Finds modes against the meaning of their metric, and a target that it cannot have."""
    tune = spec.tune
    for metric, mode in tune.metrics.items():
        if mode != MODES[metric]:
            others = [name for name in METRICS if MODES[name] == mode]
            yield (
                ("tune", "mode") if metric == tune.metric else ("tune", "pareto", metric),
                f'must be "{MODES[metric]}" for {metric}, found "{mode}": set it or leave mode '
                f"out, or name another metric ({', '.join(others)})",
            )
    if tune.target is None:
        return
    path: PathKey = ("tune", "target")
    if tune.metric.endswith("_acc") and not 0 < tune.target <= 1:
        hint = f"; {tune.target:g} % is {tune.target / 100:g}" if 1 < tune.target <= 100 else ""
        rule = f"must be above 0 and at most 1 for {tune.metric}, a fraction"
        yield path, f"{rule}, found {tune.target:g}{hint}"
    elif tune.target < 0:
        yield path, f"must be >= 0 for {tune.metric}, found {tune.target:g}"


def _check_pareto(spec: SearchSpec) -> Iterator[Violation]:
    tune = spec.tune
    if not tune.pareto:
        return
    path: PathKey = ("tune", "pareto")
    if tune.metric in tune.pareto:
        yield (*path, tune.metric), "is the metric already"
    if tune.search_alg.name in ONE_METRIC:
        rule = f"{tune.search_alg.name} works with one metric; use tpe, gp, qmc, random or grid"
        yield path, rule
    if not isinstance(tune.scheduler, FIFO):
        yield path, f"{tune.scheduler.name} judges trials by one metric; use fifo"
    if tune.target is not None:
        yield path, "target ends a sweep by one metric; leave one of them out"


def _check_repeats(spec: SearchSpec) -> Iterator[Violation]:
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
