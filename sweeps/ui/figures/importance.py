"""The importance of the parameters, computed in the background and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from sweeps.report.importance import (
    MIN_TRIALS,
    Shares,
    describe_importance,
    describe_too_few,
    ended_trials,
    importance,
)
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.ui.figures.base import COLOURS, Chart, build_layout, escape_text
from trainable.errors import TuneSweepsError

BAR_HEIGHT = 34
KEPT = 8
"""Sweeps whose importance is kept."""

INTERVAL_S = 30.0
"""Seconds between two computations for a sweep, each of which may take one of them."""


@dataclass(frozen=True)
class _Computation:
    count: int
    """Number of trials that had ended."""
    begun: float
    shares: Future[Shares]


@dataclass
class ImportanceCache:
    """Importance by sweep; a new one is computed in a thread when trials have ended."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _executor: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="importance")
    )
    _newest: dict[str, _Computation] = field(default_factory=dict)
    _done: dict[str, _Computation] = field(default_factory=dict)

    def get(self, key: str, sweep: LoadedSweep) -> tuple[int, Shares] | None:
        """Returns (number of trials, importance) of the last computation; never waits.

        Args:
            key: Names the sweep.
            sweep: The sweep as it is now.

        Returns:
            None until the first one has been computed.
        """
        count = len(ended_trials(sweep))
        with self._lock:
            newest = self._newest.get(key)
            if newest is not None and newest.shares.done():
                self._done[key] = newest
            if count >= MIN_TRIALS and _is_due(newest, count):
                shares = self._executor.submit(_compute, sweep)
                self._newest[key] = _Computation(count, time.monotonic(), shares)
                self._forget_oldest()
            done = self._done.get(key)
        return None if done is None else (done.count, done.shares.result())

    def _forget_oldest(self) -> None:
        while len(self._newest) > KEPT:
            oldest = next(iter(self._newest))
            del self._newest[oldest]
            self._done.pop(oldest, None)


def _is_due(newest: _Computation | None, count: int) -> bool:
    if newest is None:
        return True
    is_old = time.monotonic() - newest.begun > INTERVAL_S
    return newest.shares.done() and newest.count != count and is_old


def _compute(sweep: LoadedSweep) -> Shares:
    try:
        return importance(sweep)
    except TuneSweepsError as error:
        return {}, str(error)


def importance_chart(sweep: LoadedSweep, computed: tuple[int, Shares] | None) -> Chart:
    """Draws the importance of every parameter.

    Args:
        sweep: The sweep.
        computed: What `ImportanceCache.get` returns.
    """
    count = len(ended_trials(sweep))
    if count < MIN_TRIALS:
        return Chart(describe_too_few(count))
    if computed is None:
        return Chart("It is being computed ...")
    trials, (shares, problem) = computed
    if problem:
        return Chart(problem)
    note = describe_importance(sweep.metric, trials)
    return Chart(note, _bars(list(reversed(shares.items())), sweep.record.name))


def _bars(shares: Sequence[tuple[str, float]], name: str) -> dict[str, object]:
    layout = build_layout("share of the importance", "", f"{name} importance")
    layout["height"] = 90 + BAR_HEIGHT * len(shares)
    layout["xaxis"]["range"] = [0, max(1e-9, *(share for _, share in shares)) * 1.12]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [share for _, share in shares],
                "y": [escape_text(key) for key, _ in shares],
                "marker": {"color": COLOURS[0]},
                "text": [f"{share:.2f}" for _, share in shares],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            }
        ],
        "layout": layout,
    }
