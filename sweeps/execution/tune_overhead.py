"""What Tune does or says for every trial, or now and then, and a sweep of ours has no need of.

Private names of Tune's are touched here; `tests/integration/test_tune_costs.py` checks them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune import registry
from ray.tune.progress_reporter import TrialProgressCallback

from sweeps.cluster.session import ENVIRONMENT

PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
SNAPSHOTS = "TUNE_GLOBAL_CHECKPOINT_S"
SNAPSHOT_S_A_TRIAL = 0.3
"""One takes some milliseconds a trial: a hundredth of the time at most goes into them."""


class NoProgress(TrialProgressCallback):
    """Says nothing in the place of Tune's own, which comes where there is none of its kind.

    Tune's calls a trial completed that is let go at a pause before its first epoch.
    """

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Nothing."""

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Nothing."""

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Nothing."""


@contextmanager
def cheaper_tune(*, limit: int, trials: int) -> Iterator[None]:
    """Around `Tuner.fit`.

    Args:
        limit: Trials that may be live at once; untold, Tune makes one after the other.
        trials: That the sweep has in all.
    """
    os.environ[PENDING] = str(limit)
    usual = ENVIRONMENT[SNAPSHOTS]
    is_usual = os.environ.get(SNAPSHOTS, usual) == usual  # else it is the user's own
    if is_usual:
        os.environ[SNAPSHOTS] = str(max(float(usual), SNAPSHOT_S_A_TRIAL * trials))
    try:
        with _registry_in_memory():
            yield
    finally:
        if is_usual:
            os.environ[SNAPSHOTS] = usual


@contextmanager
def _registry_in_memory() -> Iterator[None]:
    """What a trainable's name stands for is asked of the cluster once, not with every trial."""
    known: Any = registry._global_registry
    get, contains = known.get, known.contains
    held: dict[tuple[str, str], Any] = {}

    def get_held(category: str, key: str) -> Any:
        if (category, key) not in held:
            held[category, key] = get(category, key)
        return held[category, key]

    known.get = get_held
    known.contains = lambda category, key: (category, key) in held or contains(category, key)
    try:
        yield
    finally:
        del known.get, known.contains
