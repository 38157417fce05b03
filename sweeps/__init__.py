"""Decides what is tried and launches it; the only package a sweep's user reads.

search file -> `spec` (checked) -> `search` (proposes values) -> `trial_source` (hands trials to
Tune) -> `trainable.ray_trial.classifier` (trains them) -> the layout on disk -> `results` ->
`report`.

`from sweeps import run_sweep, load_sweep` is `sweeps.api`, which is loaded when it is first used.
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
