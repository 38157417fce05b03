"""Searches hyperparameters: decides which trials to run, and launches them on Ray Tune.

`spec` parses and checks the search file, `search` suggests values, `execution` hands trials to
Tune, and `trainable.ray_trial.classifier` trains them. `results` and `report` read the files in
the sweep directory.

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
