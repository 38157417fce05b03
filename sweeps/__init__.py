"""Searches hyperparameters of PyTorch image classifiers on Ray Tune.

`run_sweep` runs a search file or a `Search`, `load_sweep` loads a sweep from its directory, and
both return a `Sweep`. The values of a search space are written with `uniform`, `choice` and the
like, which are named as in the search file. All errors are in `sweeps.errors`.

Names are loaded when they are first used, so that `import sweeps` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps import errors
    from sweeps.api.listing import list_sweeps
    from sweeps.api.search import Search
    from sweeps.api.search_plan import SearchPlan
    from sweeps.api.space import (
        SpaceValue,
        choice,
        expr,
        grid,
        lognormal,
        lograndint,
        loguniform,
        normal,
        qlograndint,
        qloguniform,
        qnormal,
        qrandint,
        quniform,
        randint,
        uniform,
        zip_,
    )
    from sweeps.api.steering import Suggestion
    from sweeps.api.sweep import Sweep, load_sweep, run_sweep
    from sweeps.api.trial import Trial

__version__ = "0.1.0"
"""The only place of the version: pyproject.toml and `sweep --version` read it."""

__all__ = [
    "Search",
    "SearchPlan",
    "SpaceValue",
    "Suggestion",
    "Sweep",
    "Trial",
    "choice",
    "errors",
    "expr",
    "grid",
    "list_sweeps",
    "load_sweep",
    "lognormal",
    "lograndint",
    "loguniform",
    "normal",
    "qlograndint",
    "qloguniform",
    "qnormal",
    "qrandint",
    "quniform",
    "randint",
    "run_sweep",
    "uniform",
    "zip_",
]

_MODULES = {
    "Search": "search",
    "SearchPlan": "search_plan",
    "Suggestion": "steering",
    "Sweep": "sweep",
    "Trial": "trial",
    "list_sweeps": "listing",
    "load_sweep": "sweep",
    "run_sweep": "sweep",
}
"""Name -> the module of `sweeps.api` that has it; the others are in `space`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "errors":
        return import_module("sweeps.errors")
    return getattr(import_module(f"sweeps.api.{_MODULES.get(name, 'space')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
