"""Samplers of a user's own, which search files name as `tests.support.samplers:Class`."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class MiddleSampler(BaseSampler):
    """Suggests the middle of every range, or a point beside it."""

    def __init__(self, shift: float = 0.0) -> None:
        self._shift = shift

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        assert isinstance(param_distribution, FloatDistribution)
        low, high = param_distribution.low, param_distribution.high
        return low + (0.5 + self._shift) * (high - low)


class NeedySampler(MiddleSampler):
    """Has an argument without a default, and cannot sample."""

    def __init__(self, grid: Any) -> None:
        super().__init__()
        self._grid = grid

    def sample_independent(self, *arguments: Any) -> Any:
        raise ValueError("no grid")
