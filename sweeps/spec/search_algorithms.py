"""Search algorithms of the search file: the keys of `tune.search_alg` and their defaults."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, field_validator

from trainable.config.own_code import is_own_code
from trainable.config.schema import ByName, Section


class RandomSearch(Section):
    """Independent samples; those of trial n depend on the seed and n only."""

    name: Literal["random"] = "random"


class GridSearch(Section):
    """Every point of a finite space, the last key varying fastest."""

    name: Literal["grid"]


class QMCSearch(Section):
    """Quasi-Monte Carlo: scrambled Sobol points (Owen, 1998), by SciPy."""

    name: Literal["qmc"]


class _Startup(Section):
    n_startup_trials: PositiveInt = Field(default=10, examples=[8])
    """Trials that must have a score before values are suggested instead of sampled at random."""


class TPESearch(_Startup):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by Optuna."""

    name: Literal["tpe"]
    multivariate: bool = Field(default=False, examples=[True])
    """Model the keys jointly instead of one by one."""


class GPSearch(_Startup):
    """Gaussian process with expected improvement (Jones et al., 1998), by Optuna."""

    name: Literal["gp"]


class CMAESSearch(_Startup):
    """Covariance matrix adaptation (Hansen, 2016), by Optuna; choices are sampled at random."""

    name: Literal["cmaes"]
    sigma0: float | None = Field(default=None, gt=0, examples=[0.2])
    """Initial step size as a share of the ranges; `null` means Optuna's default, a sixth."""


class BOHBSearch(Section):
    """BOHB (Falkner et al., ICML 2018): a Parzen model of the longest trials there are enough of.

    Needs a scheduler that ends trials early: `bohb`, which is the paper's, or `asha`, where no
    trial waits for another.
    """

    name: Literal["bohb"]
    min_points_in_model: PositiveInt | None = Field(default=None, examples=[8])
    """Trials that must have reached an epoch before it is modelled; `null` means one more than
    the number of keys."""
    random_fraction: float = Field(default=0.33, ge=0, le=1, examples=[0.25])
    """Share of the trials that are sampled at random."""


class OptunaSearch(Section):
    """Any sampler class of `optuna.samplers`, or one of your own."""

    name: Literal["optuna"]
    sampler: str = Field(examples=["NSGAIISampler"])
    """Class of `optuna.samplers`, or `module:Class`, which needs `--allow-custom-model`."""
    args: dict[str, Any] = Field(default={}, examples=[{"population_size": 20}])
    """Arguments of its constructor except `seed`, which is `tune.seed`."""

    @field_validator("sampler")
    @classmethod
    def _check_form(cls, sampler: str) -> str:
        module, colon, name = sampler.partition(":")
        parts = [*module.split("."), *name.split(".")] if colon else [sampler]
        if not all(part.isidentifier() for part in parts):
            raise ValueError(
                "must be a class of optuna.samplers or module:Class for one of your own, "
                f'found "{sampler}"'
            )
        return sampler

    @property
    def is_custom(self) -> bool:
        """Whether the sampler is the user's own code."""
        return is_own_code(self.sampler)


REMOVED = {
    "ax": ("Bayesian optimization of the package ax-platform", "gp"),
    "bayesopt": ("the Gaussian process of the package bayesian-optimization", "gp"),
    "hebo": ("the Gaussian process of the package HEBO", "gp"),
    "hyperopt": ("the Parzen estimator of the package hyperopt", "tpe"),
    "nevergrad": ("evolution strategies of the package nevergrad", "cmaes"),
    "zoopt": ("SRACOS of the package zoopt", "cmaes"),
}
"""Algorithms of earlier versions: name -> what it was and the nearest available one."""


def _refuse_removed(value: Any) -> Any:
    name = value.get("name") if isinstance(value, Mapping) else value
    if isinstance(name, str) and name in REMOVED:
        what, nearest = REMOVED[name]
        raise ValueError(f"{name}, {what}, was removed; the nearest is {nearest}")
    return value


def replace_removed_search(tune: Any) -> Any:
    """Returns a recorded sweep's `tune` with the nearest algorithm in place of a removed one.

    Logs a line about it, once per process, so that a sweep of an earlier version can still be
    read and resumed.
    """
    search = tune.get("search_alg") if isinstance(tune, Mapping) else None
    name = search.get("name") if isinstance(search, Mapping) else search
    if not isinstance(name, str) or name not in REMOVED:
        return tune
    _note_removed(name)
    return {**tune, "search_alg": REMOVED[name][1]}


@functools.cache  # `status --watch` reads the sweep every two seconds
def _note_removed(name: str) -> None:
    logging.getLogger(__name__).warning(
        "note: tune.search_alg was %s, %s, which was removed; further trials are suggested by %s",
        *(name, *REMOVED[name]),
    )


SearchAlgorithmConfig = Annotated[
    RandomSearch
    | GridSearch
    | QMCSearch
    | TPESearch
    | GPSearch
    | CMAESSearch
    | BOHBSearch
    | OptunaSearch,
    ByName("search_alg", default="random"),
    BeforeValidator(_refuse_removed),
]

WARM = ("tpe", "gp", "cmaes", "optuna")
"""Algorithms that can learn from an earlier sweep."""

LEARNING = (*WARM, "bohb")
"""Algorithms whose suggestions depend on the results of earlier trials."""

ONE_METRIC = ("cmaes", "bohb")
"""Algorithms that cannot search for a Pareto front."""

NOT_LEARNING_SAMPLERS = ("QMCSampler", "RandomSampler")
"""Optuna samplers whose suggestions do not depend on results."""
