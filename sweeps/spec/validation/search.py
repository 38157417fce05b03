"""Checks the rules between keys of a search file that are valid one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from typing import Any

from sweeps.space.distributions import Choice, Distribution
from sweeps.space.expressions import ExpressionError
from sweeps.space.parameters import ExpressionParameter
from sweeps.space.search_space import (
    MAX_GRID_POINTS,
    MAX_REJECTED_DRAWS,
    Values,
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
from sweeps.spec.settings import GPU_METRIC, METRICS, MODES, Tune, reported_modes
from sweeps.spec.validation.parameters import (
    check_expressions,
    check_parameters,
    explain_constraints,
)
from sweeps.spec.validation.points import POINT_CHECKS, POINTS, check_repeated_points
from sweeps.spec.validation.scheduler import SCHEDULER_CHECKS, check_population_splits
from sweeps.spec.validation.space import check_configs, check_keys, drop_keys, find_broken_draw
from sweeps.spec.validation.violations import Violation
from trainable.config.sections.metrics import FRACTIONS, VALIDATION, explain_unmeasured
from trainable.config.yaml_reader import PathKey

CHECKED_DRAWS = 256
"""First draws of a sweep that are made into training configs before it starts."""

SEARCH_ALG: PathKey = ("tune", "search_alg")


def check_search(
    spec: SearchSpec,
    config: Mapping[str, Any],
    *,
    broken: Collection[PathKey] = (),
    is_recorded: bool = False,
) -> list[Violation]:
    """Returns the rules that a search file breaks between its keys.

    Every rule is checked whose keys are valid, so that all problems are reported at once.

    Args:
        spec: The search file.
        config: The plain values of its training config.
        broken: Paths of the search file whose values are not valid; `spec` has stand-ins there.
        is_recorded: Whether it is the file of a sweep that exists. Rules that earlier versions
            did not have are then left out, so that their sweeps can be read and resumed.
    """
    good = _list_good(broken)
    violations = _check_space(spec, config, broken, good, is_recorded=is_recorded)
    checks = _CHECKS if is_recorded else (*_CHECKS, *_NEW_CHECKS)
    for check, reads in checks:
        if good.issuperset(reads.split()):
            try:
                violations += check(spec)
            except ExpressionError as error:
                violations.append((("space",), f"some draws have no value: {error}"))
                good -= {"linked", "space"}
    if any(path[0] == "constraints" or path[:2] in (POINTS, SEARCH_ALG) for path, _ in violations):
        good.discard("constraints")
    if good.issuperset({"space", "constraints", "config", "search_alg", "points_to_evaluate"}):
        violations += _check_draws(spec, config)
    unreadable = {path[-1] for path in broken if path[0] == "space"}
    return [
        (path, rule)
        for path, rule in dict.fromkeys(violations)
        if not (path[:2] == POINTS and path[-1] in unreadable)  # points with a broken parameter
    ]


def _list_good(broken: Collection[PathKey]) -> set[str]:
    """Returns which parts of a search file are valid by themselves.

    Returns:
        Keys of `tune`; `config`, `constraints`, `failure`, `resources`; of the space `epochs` (key
        `training.epochs`), `parsed` (its parameters), `linked` (which depend on one another
        rightly), and `space` (all of it).
    """
    good = {"config", "constraints", "failure", "resources", *Tune.model_fields}
    good |= {"epochs", "parsed", "linked", "space"}
    for section, *rest in broken:
        match section, rest:
            case "tune", [key, *_]:
                good.discard(str(key))
            case "tune", []:
                good -= set(Tune.model_fields)
            case "space", [key, *_]:
                good -= {"parsed", "linked", "space"}
                good -= {"epochs"} if key in ("training", "training.epochs") else set()
            case "space", []:
                good -= {"epochs", "parsed", "linked", "space"}
            case _:
                good.discard(str(section))
    return good


def _check_space(
    spec: SearchSpec,
    config: Mapping[str, Any],
    broken: Collection[PathKey],
    good: set[str],
    *,
    is_recorded: bool,
) -> list[Violation]:
    """Returns the rules that the space and the constraints break.

    Args:
        spec: See `check_search`.
        config: See `check_search`.
        broken: See `check_search`.
        good: See `_list_good`; what turns out to be broken is removed.
        is_recorded: See `check_search`.
    """
    unreadable = [str(path[1]) for path in broken if path[0] == "space" and len(path) > 1]
    violations = _below_space(check_keys([*spec.space, *unreadable]))
    space = drop_keys(spec.space, unreadable)
    links = _below_space(check_parameters(space))
    good -= {"linked"} if links else set()
    if not is_recorded:
        links += check_expressions(space, spec.constraints, config)
    violations += links
    bad = {str(path[1]) for path, _ in violations if path[0] == "space" and len(path) > 1}
    if not all(path[0] == "space" for path, _ in links):
        good.discard("constraints")
    space = drop_keys(space, bad)
    constraints = select_decided(spec.constraints, spec.space, space) if not links else ()
    try:
        configs = _below_space(check_configs(space, constraints, config))
    except ExpressionError as error:
        configs = [(("space",), f"some draws have no value: {error}")]
        good -= {"linked"}
    if isinstance(spec.space.get("training.epochs"), ExpressionParameter):
        rule = "must not be an expr: its largest value is needed"
        configs.append((("space", "training.epochs"), rule))
    violations += configs
    good -= {"space"} if violations else set()
    good -= {"epochs"} if any("training.epochs" in path for path, _ in violations) else set()
    return violations


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


def _check_kinds(spec: SearchSpec) -> Iterator[Violation]:
    name = spec.tune.search_alg.name
    for key, entry in spec.space.items():
        if name == "grid" and isinstance(entry, Distribution) and not isinstance(entry, Choice):
            yield SEARCH_ALG, f"grid takes choice and grid only, found {entry.label} for {key}"
        if name == "grid" and isinstance(entry, Choice) and entry.weights:
            yield SEARCH_ALG, f"grid tries every value of {key} equally often; leave weights out"
        if name not in ("grid", "random") and entry.kind == "grid":
            yield SEARCH_ALG, f"{name} takes no grid, found one for {key}; write choice"


def _check_package(spec: SearchSpec) -> Iterator[Violation]:
    if spec.tune.search_alg.name == "cmaes" and find_spec("cmaes") is None:
        rule = 'cmaes needs the package cmaes, which is not installed: pip install "cmaes"'
        yield SEARCH_ALG, rule


def _check_bohb(spec: SearchSpec) -> Iterator[Violation]:
    name, scheduler = spec.tune.search_alg.name, spec.tune.scheduler.name
    if name == "bohb" and scheduler not in ("asha", "bohb"):
        rule = f"bohb learns between the rungs of a scheduler, bohb or asha, found {scheduler}"
        yield SEARCH_ALG, rule


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


def _check_modes(spec: SearchSpec) -> Iterator[Violation]:
    """Finds modes against the meaning of their metric, and a target that it cannot have."""
    tune, modes = spec.tune, reported_modes(spec.config) or MODES
    path: PathKey
    for metric, mode in tune.metrics.items():
        if metric in modes and mode != modes[metric]:
            measured = (*METRICS, *(name for name in modes if name.startswith(VALIDATION)))
            others = [name for name in dict.fromkeys(measured) if modes[name] == mode]
            is_main = metric == tune.metric
            path = ("tune", "mode") if is_main else ("tune", "pareto", metric)
            remedy = "write mode: {} or leave it out" if is_main else f"write {metric}: {{}}"
            yield (
                path,
                f'must be "{modes[metric]}" for {metric}, found "{mode}": '
                f"{remedy.format(modes[metric])}, or take another metric ({', '.join(others)})",
            )
    if tune.target is None:
        return
    path = ("tune", "target")
    score = tune.metric.removeprefix(VALIDATION)
    if (tune.metric.endswith("_acc") or score in FRACTIONS) and not 0 < tune.target <= 1:
        hint = f"; {tune.target:g} % is {tune.target / 100:g}" if 1 < tune.target <= 100 else ""
        rule = f"must be above 0 and at most 1 for {tune.metric}, a fraction"
        yield path, f"{rule}, found {tune.target:g}{hint}"
    elif tune.metric.endswith("_loss") and tune.target < 0:
        yield path, f"must be >= 0 for {tune.metric}, found {tune.target:g}"


def _check_measured(spec: SearchSpec) -> Iterator[Violation]:
    """Finds metrics that the trainings do not measure."""
    tune, modes = spec.tune, reported_modes(spec.config)
    if modes is None:
        return
    for metric in tune.metrics:
        if metric not in modes:
            is_main = metric == tune.metric
            path: PathKey = ("tune", "metric") if is_main else ("tune", "pareto", metric)
            names = METRICS if is_main else tuple(modes)
            yield path, explain_unmeasured(metric, spec.config.get("metrics") or (), names)


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


def check_measurable(spec: SearchSpec) -> Iterator[Violation]:
    """Yields the metrics that the trials' devices cannot measure."""
    resources, pareto = spec.resources, spec.tune.pareto
    path: PathKey = ("tune", "pareto", GPU_METRIC)
    if GPU_METRIC not in pareto:
        return
    if resources.gpu == 0:
        rule = "is measured on GPUs only, and the trials have none (resources.gpu: 0)"
        yield path, f"{rule}; leave it out"
    elif resources.process == "shared":
        rule = "is not measured for the trials of one process (resources.process: shared)"
        yield path, f"{rule}; leave it out, or set process: trial"


def _check_timeout(spec: SearchSpec) -> Iterator[Violation]:
    if spec.failure.epoch_timeout is not None and spec.resources.process == "shared":
        rule = "cannot end one trial of a process that others share (resources.process: shared)"
        yield ("failure", "epoch_timeout"), f"{rule}; leave it out, or set process: trial"


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


_CHECKS: tuple[tuple[Callable[[SearchSpec], Iterable[Violation]], str], ...] = (
    (_check_kinds, "search_alg"),
    (_check_package, "search_alg"),
    (_check_bohb, "search_alg scheduler"),
    (_check_warm_start, "search_alg warm_start"),
    (_check_grid, "search_alg num_samples linked constraints"),
    (_check_pareto, "metric pareto search_alg scheduler target"),
    (_check_repeats, "repeats final scheduler"),
    *POINT_CHECKS,
    *SCHEDULER_CHECKS,
)
"""Checks, each with the keys of `tune` and the parts of the file that it reads (`_list_good`)."""

_NEW_CHECKS = (
    (_check_modes, "metric mode pareto target"),
    (_check_measured, "metric pareto"),
    (check_measurable, "pareto resources"),
    (_check_timeout, "failure resources"),
    (check_repeated_points, "points_to_evaluate linked"),
    (check_population_splits, "scheduler parsed"),
)
"""Checks that earlier versions did not have."""
