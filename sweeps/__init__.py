"""Searches hyperparameters: decides which trials to run, and launches them on Ray Tune.

A search file is parsed and checked by `spec`; `search` suggests values; `execution` hands trials to
Tune, which trains them with `trainable.ray_trial.classifier`; the files in the sweep directory are
read by `results` and `report`.

`from sweeps import run_sweep, load_sweep` loads `sweeps.api` when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.api import Sweep, load_sweep, run_sweep

__all__ = ["Sweep", "load_sweep", "run_sweep"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sweeps import api

    return getattr(api, name)
