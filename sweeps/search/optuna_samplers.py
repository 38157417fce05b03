"""Optuna's samplers behind a function: what was tried goes in, the next values come out.

Every proposal has a new study and a new sampler, so that none has a past that a resumed sweep
could not give it back.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.optuna_space import drawn, from_optuna, optuna_distribution, to_optuna
from sweeps.space.distributions import Distribution
from sweeps.space.search_space import Space, Values, draw
from sweeps.spec.search_algorithms import BOHBSearch, CMAESSearch, GPSearch, TPESearch
from sweeps.spec.search_spec import SearchSpec

Told = Literal["running", "complete", "failed"]
Known = tuple[Mapping[str, Any], Told, Sequence[float]]
"""Of one trial: its values, how it stands, and its scores if it is complete."""

_STATES = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
}

# Optuna tells every finished trial otherwise, in the middle of a sweep's own display.
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Past:
    """The trials told, in Optuna's form, each made once as long as nothing about it changes.

    Args:
        space: The search space.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._made: dict[int, tuple[Known, FrozenTrial]] = {}

    def of(self, told: Sequence[Known]) -> list[FrozenTrial]:
        """The same trials; a trial is known by its mapping of values, which stays the same one."""
        found = []
        for known in told:
            key = id(known[0])
            if key not in self._made or self._made[key][0] != known:
                self._made[key] = known, _frozen(self._space, *known)
            found.append(self._made[key][1])
        return found


class _Shared(FrozenTrial):
    """Is only read, so that its copies share what it holds; Optuna copies what it is given."""

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        return copy(self)


def propose(
    spec: SearchSpec, told: Sequence[Known], seed: int, past: Past, *, again: bool = False
) -> Values:
    """The values of the next trial.

    Args:
        spec: The resolved search file, with a search_alg that learns.
        told: The trials before it, in order of creation.
        seed: Of this proposal.
        past: Of this sweep; makes its proposals faster and no others.
        again: Whether an earlier proposal for the same trial was refused.

    Raises:
        ExpressionError: A derived value cannot be computed.
    """
    with warnings.catch_warnings():
        # Options that have been there for years; the version of Optuna is on record.
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # of scipy's, on few points
        study = _study(spec, seed)
        if isinstance(spec.tune.search_alg, CMAESSearch):
            _relive(study, spec.space, told)
            if again:
                study.sampler = _cmaes(spec.tune.search_alg, seed, seed)
        elif isinstance(spec.tune.search_alg, GPSearch):
            study.add_trials(past.of(_with_lies(told)))
        else:
            study.add_trials(past.of(told))
        asked = study.ask()
        return draw(spec.space, lambda key, found: _pick(asked, key, found))


def _study(spec: SearchSpec, seed: int) -> optuna.Study:
    tune = spec.tune
    directions = [
        StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
        for mode in tune.metrics.values()
    ]
    sampler: BaseSampler
    match tune.search_alg:
        case TPESearch(n_startup_trials=startup, multivariate=multivariate):
            sampler = _tpe(seed, startup, multivariate=multivariate)
        case BOHBSearch():
            sampler = _tpe(seed, 1, multivariate=True)
        case GPSearch(n_startup_trials=startup):
            sampler = GPSampler(
                seed=seed, n_startup_trials=startup, warn_independent_sampling=False
            )
        case CMAESSearch():
            # One seed for all proposals: every generation is lived through again, see `_relive`.
            sampler = _cmaes(tune.search_alg, tune.seed % 2**32, seed)
        case other:
            raise TypeError(f"{other.name} does not learn")
    return optuna.create_study(directions=directions, sampler=sampler)


def _tpe(seed: int, startup: int, *, multivariate: bool) -> TPESampler:
    return TPESampler(
        seed=seed,
        n_startup_trials=startup,
        multivariate=multivariate,
        group=multivariate,  # keys that only some trials have are modelled among those
        # Trials run side by side: keeps them from trying what another one is trying.
        constant_liar=True,
    )


def _cmaes(settings: CMAESSearch, seed: int, seed_of_chance: int) -> CmaEsSampler:
    return CmaEsSampler(
        seed=seed,
        # Draws what is left to chance: the first trials, and choices.
        independent_sampler=RandomSampler(seed=seed_of_chance),
        sigma0=settings.sigma0,
        n_startup_trials=settings.n_startup_trials,
        warn_independent_sampling=False,
    )


def _pick(trial: optuna.Trial, key: str, found: Distribution) -> Any:
    return from_optuna(found, trial._suggest(key, optuna_distribution(found)))


def _params(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: to_optuna(found, values[key]) for key, found in drawn(space, values).items()}


def _frozen(
    space: Space, values: Mapping[str, Any], state: Told, scores: Sequence[float]
) -> FrozenTrial:
    made = create_trial(
        state=_STATES[state],
        values=list(scores) if state == "complete" else None,
        params=_params(space, values),
        distributions={k: optuna_distribution(d) for k, d in drawn(space, values).items()},
    )
    made.__class__ = _Shared
    return made


def _with_lies(told: Sequence[Known]) -> list[Known]:
    """Takes running trials for middling ones: a Gaussian process knows none without a score."""
    complete = [scores for _, state, scores in told if state == "complete"]
    if not complete:
        return list(told)
    middling = [statistics.median(column) for column in zip(*complete, strict=True)]
    return [
        (values, "complete", middling) if state == "running" else (values, state, scores)
        for values, state, scores in told
    ]


def _relive(study: optuna.Study, space: Space, told: Sequence[Known]) -> None:
    """Asks for and tells every trial in order, as if they had come one after the other.

    CMA-ES keeps its state with the trials; this way it has the same one in every process.
    """
    for values, state, scores in told:
        study.enqueue_trial(_params(space, values))
        asked = study.ask()
        _ = asked.relative_params  # its generation is noted here, also for given values
        for key, found in drawn(space, values).items():
            asked._suggest(key, optuna_distribution(found))
        if state == "complete":
            study.tell(asked, list(scores))
        elif state == "failed":
            study.tell(asked, state=TrialState.FAIL)
