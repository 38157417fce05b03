"""Searchers of Ray's that need a package of their own, behind the same function as Optuna's.

Every call makes a new one and lets it live through the trials told: it is given their values as
the first ones to suggest, and their scores. It has no past that a resumed sweep could not give it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher as TuneSearcher

from sweeps.distributions import Distribution
from sweeps.optuna_space import drawn
from sweeps.samplers import Known
from sweeps.search_sections import BayesOptSearch, HyperOptSearch
from sweeps.space import Values, draw
from sweeps.spec import SearchSpec

MIDDLE = 0.5
"""Of a key that a trial did not have; these searchers know no conditions."""


def propose_by_ray(spec: SearchSpec, told: Sequence[Known], seed: int) -> Values | None:
    """The values of the next trial.

    Args:
        spec: The resolved search file, with a search_alg of these.
        told: The trials before it, in order of creation.
        seed: Of this proposal.

    Returns:
        None where the searcher has nothing more to suggest.

    Raises:
        ExpressionError: A derived value cannot be computed.
    """
    keys = [key for key, entry in spec.space.items() if isinstance(entry, Distribution)]
    names = {key: f"k{number}" for number, key in enumerate(keys)}  # no dots in them
    points = [_units(spec, names, values) for values, _, _ in told]
    logging.getLogger("ray.tune.search").setLevel(logging.ERROR)
    searcher = _searcher(spec, points, seed)
    searcher.set_search_properties(
        spec.tune.metric, spec.tune.mode, {name: tune.uniform(0, 1) for name in names.values()}
    )
    for number, (_, state, scores) in enumerate(told):
        searcher.suggest(str(number))
        if state == "complete":
            searcher.on_trial_complete(str(number), {spec.tune.metric: scores[0]})
        elif state == "failed":
            searcher.on_trial_complete(str(number), error=True)
    found = searcher.suggest("next")
    if not isinstance(found, Mapping):
        return None
    units = {key: min(max(float(found[name]), 0.0), 1.0) for key, name in names.items()}
    return draw(spec.space, lambda key, entry: entry.from_unit(units[key]))


def _units(spec: SearchSpec, names: Mapping[str, str], values: Mapping[str, Any]) -> Values:
    """A trial's values as numbers in [0, 1]."""
    units = {key: found.to_unit(values[key]) for key, found in drawn(spec.space, values).items()}
    return {name: units.get(key, MIDDLE) for key, name in names.items()}


def _searcher(spec: SearchSpec, points: list[Values], seed: int) -> TuneSearcher:
    settings = spec.tune.search_alg
    given: Any = points or None
    if isinstance(settings, HyperOptSearch):
        from ray.tune.search.hyperopt import HyperOptSearch as HyperOpt

        return HyperOpt(
            points_to_evaluate=given,
            n_initial_points=settings.n_startup_trials,
            random_state_seed=seed,
        )
    assert isinstance(settings, BayesOptSearch)
    from ray.tune.search.bayesopt import BayesOptSearch as BayesOpt

    return BayesOpt(
        points_to_evaluate=given,
        random_search_steps=settings.n_startup_trials,
        random_state=seed,
        skip_duplicate=False,
    )
