"""Searchers of Ray's that need a package of their own, behind the same function as Optuna's.

Every call makes a new one and lets it live through the trials told: it is given their values as
the first ones to suggest, and their scores. It has no past that a resumed sweep could not give it.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search import Searcher as TuneSearcher

from sweeps.search.optuna_samplers import Known
from sweeps.search.optuna_space import drawn
from sweeps.space.distributions import Choice, Distribution
from sweeps.space.search_space import Values, draw
from sweeps.spec.search_algorithms import (
    AxSearch,
    BayesOptSearch,
    HEBOSearch,
    HyperOptSearch,
    NevergradSearch,
    ZOOptSearch,
)
from sweeps.spec.search_spec import SearchSpec
from trainable.training.seeding import seed_everything

MIDDLE = 0.5
"""Of a key that a trial did not have; these searchers know no conditions."""

SCORED_ONLY = (BayesOptSearch, HEBOSearch, ZOOptSearch)
"""Those that suggest nothing while they wait for a trial that runs, or that has failed."""

ATTEMPTS = 20
"""Suggestions of ZOOpt's, one after the other, that were tried already, before one is taken."""

SMALLEST_BUDGET = 4
"""Of ZOOpt, which judges by its budget how many trials it begins with."""


def propose_by_ray(spec: SearchSpec, told: Sequence[Known], seed: int) -> Values | None:
    """The values of the next trial.

    Args:
        spec: The resolved search file, with a search_alg of these.
        told: The trials before it, in order of creation.
        seed: Of this proposal.

    Returns:
        None where the searcher leaves it to chance.

    Raises:
        ExpressionError: A derived value cannot be computed.
    """
    keys = [key for key, entry in spec.space.items() if isinstance(entry, Distribution)]
    if not keys:
        return None
    if isinstance(spec.tune.search_alg, SCORED_ONLY):
        told = [trial for trial in told if trial[1] == "complete"]
    names = {key: f"k{number}" for number, key in enumerate(keys)}  # no dots in them
    points = _spread(spec, names, [_units(spec, names, values) for values, _, _ in told])
    tried = [values for values, _, _ in told]
    if isinstance(spec.tune.search_alg, BayesOptSearch):
        points, told = _merged(points, told)
    with _seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("ray.tune.search").setLevel(logging.ERROR)
        searcher = _searcher(spec, points, seed)
        space = {name: tune.uniform(0, 1) for name in names.values()}
        searcher.set_search_properties(spec.tune.metric, spec.tune.mode, space)
        if isinstance(spec.tune.search_alg, ZOOptSearch):
            _tell_zoopt(searcher, spec, points, told)
        else:
            for number in range(len(told)):
                searcher.suggest(str(number))
                _tell(searcher, spec, number, told)
        return _next(searcher, spec, names, tried)


def _next(
    searcher: TuneSearcher,
    spec: SearchSpec,
    names: Mapping[str, str],
    tried: Sequence[Mapping[str, Any]],
) -> Values | None:
    values = None
    for attempt in range(ATTEMPTS if isinstance(spec.tune.search_alg, ZOOptSearch) else 1):
        found = searcher.suggest(f"next {attempt}")
        if not isinstance(found, Mapping):
            break
        values = _values(spec, names, found)
        if values not in tried:
            break
    return values


def _values(spec: SearchSpec, names: Mapping[str, str], found: Mapping[str, Any]) -> Values:
    units = {key: min(max(float(found[name]), 0.0), 1.0) for key, name in names.items()}
    return draw(spec.space, lambda key, entry: entry.from_unit(units[key]))


def _units(spec: SearchSpec, names: Mapping[str, str], values: Mapping[str, Any]) -> Values:
    """A trial's values as numbers in [0, 1]."""
    units = {key: found.to_unit(values[key]) for key, found in drawn(spec.space, values).items()}
    return {name: units.get(key, MIDDLE) for key, name in names.items()}


def _spread(spec: SearchSpec, names: Mapping[str, str], points: Sequence[Values]) -> list[Values]:
    """The same choices, each at a place of its own within what stands for it in [0, 1].

    To these searchers all of that is new until it is tried; ZOOpt makes of two that are the same
    a third.
    """
    spread = []
    for number, point in enumerate(points):
        rng = np.random.default_rng([spec.tune.seed, number])
        units = dict(point)
        for key, name in names.items():
            entry, offset = spec.space[key], rng.random() - 0.5
            if isinstance(entry, Choice):
                units[name] = point[name] + offset / len(entry.values)
        spread.append(units)
    return spread


def _merged(
    points: Sequence[Values], told: Sequence[Known]
) -> tuple[list[Values], Sequence[Known]]:
    """Trials of the same values as one, with their mean score: BayesOpt refuses a second one."""
    scores: dict[tuple[float, ...], list[float]] = {}
    first: dict[tuple[float, ...], int] = {}
    for number, point in enumerate(points):
        place = tuple(point.values())
        scores.setdefault(place, []).append(told[number][2][0])
        first.setdefault(place, number)
    merged: list[Known] = [
        (told[number][0], "complete", [fmean(scores[place])]) for place, number in first.items()
    ]
    return [points[number] for number in first.values()], merged


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators, from which some packages draw; others' go on afterwards."""
    states = random.getstate(), np.random.get_state()
    seed_everything(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _searcher(spec: SearchSpec, points: list[Values], seed: int) -> TuneSearcher:
    given: Any = points or None
    match spec.tune.search_alg:
        case HyperOptSearch(n_startup_trials=startup):
            from ray.tune.search.hyperopt import HyperOptSearch as HyperOpt

            return HyperOpt(
                points_to_evaluate=given, n_initial_points=startup, random_state_seed=seed
            )
        case BayesOptSearch(n_startup_trials=startup):
            from ray.tune.search.bayesopt import BayesOptSearch as BayesOpt

            return BayesOpt(
                points_to_evaluate=given,
                random_search_steps=startup,
                random_state=seed,
                skip_duplicate=False,
            )
        case HEBOSearch(n_startup_trials=startup):
            return _hebo(given, startup, seed)
        case AxSearch():
            from ax.utils.common.logger import set_stderr_log_level
            from ray.tune.search.ax import AxSearch as Ax

            set_stderr_log_level(logging.ERROR)
            # Not sequential: else it waits for all trials but a few before it suggests the next.
            return Ax(
                points_to_evaluate=given,
                random_seed=seed,
                verbose_logging=False,
                enforce_sequential_optimization=False,
            )
        case NevergradSearch(optimizer=optimizer):
            from nevergrad.optimization import registry
            from ray.tune.search.nevergrad import NevergradSearch as Nevergrad

            return Nevergrad(optimizer=registry[optimizer], points_to_evaluate=given)
        case ZOOptSearch():
            from ray.tune.search.zoopt import ZOOptSearch as ZOOpt

            budget = max(spec.tune.num_samples, SMALLEST_BUDGET)
            return ZOOpt(budget=budget, parallel_num=ATTEMPTS)
        case other:
            raise TypeError(f"{other.name} is none of Ray's")


def _hebo(given: Any, startup: int, seed: int) -> TuneSearcher:
    from pymoo.config import Config
    from ray.tune.search.hebo import HEBOSearch as Hebo

    Config.warnings["not_compiled"] = False  # it prints them into the sweep's display
    return Hebo(
        points_to_evaluate=given,
        random_state_seed=seed,
        max_concurrent=1,  # one is suggested here, whatever runs
        rand_sample=startup,
        scramble_seed=seed,
    )


def _tell(searcher: TuneSearcher, spec: SearchSpec, number: int, told: Sequence[Known]) -> None:
    _, state, scores = told[number]
    if state == "complete":
        searcher.on_trial_complete(str(number), {spec.tune.metric: scores[0]})
    elif state == "failed":
        searcher.on_trial_complete(str(number), error=True)


def _tell_zoopt(
    searcher: Any, spec: SearchSpec, points: Sequence[Values], told: Sequence[Known]
) -> None:
    """Puts what was tried in the place of what it suggests: it takes no points.

    It must be asked once too often before it hears of those that it begins with; without all of
    them it is left waiting, and suggests nothing.
    """
    opening = searcher.optimizer.get_parameters().get_train_size()
    ends = [opening, *range(opening + 1, len(told) + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        for number in range(start, end):
            suggested = searcher.suggest(str(number))
            if not isinstance(suggested, Mapping):
                return
            if number < len(told):
                values = [points[number][name] for name in suggested]
                searcher.solution_dict[str(number)].set_x(values)
        if start == 0:
            searcher.suggest("")
        for number in range(start, min(end, len(told))):
            _tell(searcher, spec, number, told)
