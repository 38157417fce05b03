"""The search algorithms of the search file: every key of `tune.search_alg`, and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.schema import ByName, Section


class RandomSearch(Section):
    """Independent draws; trial n's depends on the seed and n alone."""

    name: Literal["random"] = "random"


class GridSearch(Section):
    """Every point of a space of finite entries, the last key varying fastest."""

    name: Literal["grid"]


class QMCSearch(Section):
    """Quasi-Monte Carlo: scrambled Sobol points (Owen, 1998), which leave no gaps, by SciPy."""

    name: Literal["qmc"]


class _Startup(Section):
    n_startup_trials: PositiveInt = 10
    """Trials that must have a score before it stops drawing at random."""


class TPESearch(_Startup):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by Optuna."""

    name: Literal["tpe"]
    multivariate: bool = False
    """Models keys together rather than one by one."""


class GPSearch(_Startup):
    """Gaussian process with expected improvement (Jones et al., 1998), by Optuna."""

    name: Literal["gp"]


class CMAESSearch(_Startup):
    """Covariance matrix adaptation (Hansen, 2016), by Optuna; choices are drawn at random."""

    name: Literal["cmaes"]
    sigma0: float | None = Field(default=None, gt=0)
    """First step, as a share of the ranges; null leaves it to Optuna (a sixth)."""


class BOHBSearch(Section):
    """BOHB (Falkner et al., ICML 2018): a Parzen model of the longest trials there are enough of.

    Beside a scheduler that ends trials early: `bohb` is the paper's, `asha` waits for nobody.
    """

    name: Literal["bohb"]
    min_points_in_model: PositiveInt | None = None
    """Trials that must have come to an epoch before it is modelled; null is keys + 1."""
    random_fraction: float = Field(default=0.33, ge=0, le=1)
    """How many of the trials are drawn at random none the less."""


class HyperOptSearch(_Startup):
    """Parzen estimator of the package hyperopt (Bergstra et al., ICML 2013), through Ray."""

    name: Literal["hyperopt"]


class BayesOptSearch(_Startup):
    """Gaussian process of the package bayesian-optimization (Nogueira, 2014), through Ray."""

    name: Literal["bayesopt"]


SearchAlgorithm = Annotated[
    RandomSearch
    | GridSearch
    | QMCSearch
    | TPESearch
    | GPSearch
    | CMAESSearch
    | BOHBSearch
    | HyperOptSearch
    | BayesOptSearch,
    ByName("search_alg", default="random"),
]

LEARNING = ("tpe", "gp", "cmaes", "hyperopt", "bayesopt", "bohb")
"""Those that propose by what earlier trials came to."""

NEEDS = {
    "cmaes": ("cmaes", "cmaes"),
    "hyperopt": ("hyperopt", "hyperopt"),
    "bayesopt": ("bayes_opt", "bayesian-optimization==1.4.0"),
}
"""Algorithm -> module that it needs besides those that are always there, and what to install."""

ONE_METRIC = ("cmaes", "bohb", "hyperopt", "bayesopt")
"""Those that cannot look for a Pareto front."""
