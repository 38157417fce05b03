"""Checks the sampler of `search_alg: {name: optuna}` before a sweep starts."""

from __future__ import annotations

from sweeps.space.search_space import random_draw
from sweeps.spec.search_algorithms import OptunaSearch
from sweeps.spec.search_spec import SearchSpec
from trainable.errors import ConfigError, Problem

CHECKED_TRIALS = 3
"""Trials that the sampler is given before it must suggest one."""


def check_optuna_sampler(spec: SearchSpec) -> None:
    """Checks the sampler as `check_sampler` does, unless it is code of the user's.

    Raises:
        ConfigError: There is no such sampler, it does not take its arguments, or it cannot search
            the space.
    """
    search = spec.tune.search_alg
    if not (isinstance(search, OptunaSearch) and search.is_custom):
        check_sampler(spec)


def check_sampler(spec: SearchSpec, *, allow_custom: bool = False) -> None:
    """Builds the sampler and lets it suggest values for this space and these metrics.

    Does nothing for the other search algorithms.

    Args:
        spec: The resolved search file.
        allow_custom: Whether `sampler` may import code of the user's.

    Raises:
        ConfigError: There is no such sampler, it does not take its arguments, or it cannot search
            the space.
    """
    search = spec.tune.search_alg
    if not isinstance(search, OptunaSearch):
        return
    # They import optuna, which most sweeps need only once they run.
    from sweeps.search.optuna_samplers import OptunaSuggester
    from sweeps.search.sampler_classes import SAMPLER_KEY, build_sampler
    from sweeps.search.study_history import Observation

    build_sampler(search, spec.tune.seed, allow_custom=allow_custom)
    suggester = OptunaSuggester(spec, search, allow_custom=allow_custom)
    observations: list[Observation] = []
    try:
        for number in range(CHECKED_TRIALS):
            values = random_draw(spec.space, spec.constraints, [], spec.tune.seed, number)
            scores = [float(number)] * len(spec.tune.metrics)
            observations.append(Observation(values or {}, "complete", scores))
            suggester.suggest(observations, number + 1)
    except Exception as error:  # a sampler may raise anything
        rule = f"{search.sampler} cannot search this space: {error}"
        raise ConfigError("search", [Problem(SAMPLER_KEY, rule)]) from error
