"""The search algorithms of the search file: every key of `tune.search_alg`, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import ByName, Section


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


class AxSearch(Section):
    """Bayesian optimization of the package ax-platform (Olson et al., AutoML 2025), through Ray.

    Its first trials, twice the keys of the space and at least five, are Sobol points.
    """

    name: Literal["ax"]


class HEBOSearch(_Startup):
    """Gaussian process of the package HEBO (Cowen-Rivers et al., JAIR 2022), through Ray."""

    name: Literal["hebo"]


class NevergradSearch(Section):
    """Evolution strategies of the package nevergrad (Bennet et al., 2021), through Ray."""

    name: Literal["nevergrad"]
    optimizer: Literal["OnePlusOne", "TBPSA", "CMA", "TwoPointsDE"] = "OnePlusOne"
    """Which of nevergrad's, by its name there: those that learn from trials told to a new one."""


class ZOOptSearch(Section):
    """SRACOS of the package zoopt (Hu et al., AAAI 2017), through Ray.

    Its first trials are random: 4 where num_samples is at most 50, 6 up to 100, 12 up to 1000.
    """

    name: Literal["zoopt"]


SearchAlgorithm = Annotated[
    RandomSearch
    | GridSearch
    | QMCSearch
    | TPESearch
    | GPSearch
    | CMAESSearch
    | BOHBSearch
    | HyperOptSearch
    | BayesOptSearch
    | AxSearch
    | HEBOSearch
    | NevergradSearch
    | ZOOptSearch,
    ByName("search_alg", default="random"),
]

THROUGH_RAY = (
    HyperOptSearch,
    BayesOptSearch,
    AxSearch,
    HEBOSearch,
    NevergradSearch,
    ZOOptSearch,
)

OF_RAY = ("hyperopt", "bayesopt", "ax", "hebo", "nevergrad", "zoopt")
"""The names of `THROUGH_RAY`."""

WARM = ("tpe", "gp", "cmaes", *OF_RAY)
"""Those that can learn from an earlier sweep."""

LEARNING = (*WARM, "bohb")
"""Those that propose by what earlier trials came to."""

ONE_METRIC = ("cmaes", "bohb", *OF_RAY)
"""Those that cannot look for a Pareto front."""


@dataclass(frozen=True)
class Needed:
    """A package that an algorithm needs besides those that are always there."""

    package: str
    modules: tuple[str, ...]
    command: str
    """What installs it."""
    below: str | None = None
    """The version from which Ray does not work with it."""


NEEDS = {
    "cmaes": Needed("cmaes", ("cmaes",), 'pip install "cmaes"'),
    "hyperopt": Needed("hyperopt", ("hyperopt",), 'pip install "hyperopt"'),
    "bayesopt": Needed(
        "bayesian-optimization",
        ("bayes_opt",),
        'pip install "bayesian-optimization<2"',
        below="2",
    ),
    "ax": Needed("ax-platform", ("ax",), 'pip install "ax-platform<1.3"', below="1.3"),
    # Its own limits, a NumPy below 1.25 among them, are older than what it works with.
    "hebo": Needed(
        "HEBO",
        ("hebo", "pymoo", "GPy", "gpytorch", "catboost", "disjoint_set"),
        'pip install "pymoo==0.6.0" GPy gpytorch catboost disjoint-set && '
        "pip install --no-deps HEBO==0.3.6",
    ),
    "nevergrad": Needed("nevergrad", ("nevergrad",), 'pip install "nevergrad"'),
    "zoopt": Needed("zoopt", ("zoopt",), 'pip install "zoopt"'),
}
