"""Predicts a sweep's time and disk space from its first draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.planning.disk import DiskForecast, forecast_disk
from sweeps.planning.plan import Plan
from sweeps.space.search_space import Values
from trainable.config import SGDOptimizer, TrainConfig
from trainable.profiling.cost import TrainingCost, estimate_size, measure_cost

MAX_PROBED_DRAWS = 4
MAX_SEARCHED_DRAWS = 64
"""First draws that are searched for ones that differ in cost."""
COST_SECTIONS = ("dataset", "model", "amp")
"""Sections of the training config that determine an epoch's cost, besides the batches."""


@dataclass(frozen=True)
class ProbedDraw:
    """A draw and its cost."""

    number: int
    values: Values
    config: TrainConfig
    cost: TrainingCost


@dataclass(frozen=True)
class Forecast:
    """Cost of the whole sweep, each as (least, most)."""

    seconds: tuple[float, float]
    """Wall-clock time. Least: trials that share a GPU do not slow one another down. Most: sharing
    gains nothing, and every trial is as slow as the slowest draw."""
    disk: DiskForecast


def probe(plan: Plan, *, allow_custom_model: bool = False) -> list[ProbedDraw]:
    """Trains a few batches of the first draw, and of others whose model or batches differ.

    Args:
        plan: The sweep's plan.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: A draw cannot be trained; the message says why.
    """
    share = plan.concurrency.share
    draws = []
    for number, config in select_draws(plan):
        cost = measure_cost(
            config,
            gpu=share["gpu"],
            threads=int(share["cpu"]),
            allow_custom_model=allow_custom_model,
        )
        draws.append(ProbedDraw(number, plan.draws[number], config, cost))
    return draws


def predict_disk(plan: Plan, *, allow_custom_model: bool = False) -> DiskForecast:
    """Predicts `Forecast.disk` from the sizes of the models, without training.

    Args:
        plan: The sweep's plan.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: A model cannot be built; the message says why.
    """
    configs = _searched_configs(plan)
    groups: dict[str, dict[str, TrainConfig]] = {}
    for config in configs:
        groups.setdefault(_size_key(config, floats=False), {})[_size_key(config)] = config
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes |= _estimate_sizes(group, allow_custom_model=allow_custom_model)
    return forecast_disk(plan, [sizes[_size_key(config)] for config in configs])


def _estimate_sizes(
    group: Mapping[str, TrainConfig], *, allow_custom_model: bool
) -> dict[str, int]:
    """Returns the bytes of a checkpoint of each of some configs that differ in `float_arguments`.

    Most of these, such as the rate of a dropout, change no size: then the models with their
    smallest and largest values are the only ones that are built.
    """

    def estimate(config: TrainConfig) -> int:
        return estimate_size(config, allow_custom_model=allow_custom_model)[1]

    first, extremes = next(iter(group)), set()
    for name in float_arguments(group[first]):
        by_value = sorted(group, key=lambda key: float(group[key].model.args[name]))
        extremes |= {by_value[0], by_value[-1]}
    sizes = {key: estimate(group[key]) for key in extremes or {first}}
    if len(set(sizes.values())) == 1:
        return dict.fromkeys(group, min(sizes.values()))
    return sizes | {key: estimate(group[key]) for key in group if key not in sizes}


def float_arguments(config: TrainConfig) -> list[str]:
    """Returns the names of the arguments of a model that are floats."""
    return [name for name, value in config.model.args.items() if isinstance(value, float)]


def select_draws(plan: Plan) -> list[tuple[int, TrainConfig]]:
    """Selects the first draw, the one with the largest batches, and others that differ in cost."""
    by_cost: dict[str, tuple[int, TrainConfig]] = {}
    for number, config in enumerate(_searched_configs(plan)):
        by_cost.setdefault(_cost_key(config), (number, config))
    first, *others = by_cost.values()
    others.sort(key=lambda draw: -draw[1].training.batch_size)
    largest = others[:1] if others else []
    rest = sorted(others[1:], key=lambda draw: draw[0])
    return [first, *largest, *rest][:MAX_PROBED_DRAWS]


def _cost_key(config: TrainConfig) -> str:
    """Returns a text that is equal for configs of equal cost."""
    data = config.to_dict()
    parts: list[Any] = [data[section] for section in COST_SECTIONS]
    training = config.training
    return repr([*parts, training.batch_size, training.accumulation_steps, config.optimizer.name])


def forecast(plan: Plan, draws: Sequence[ProbedDraw]) -> Forecast:
    """Forecasts the cost of the sweep, taking the probed draws as representative."""
    costs = [draw.cost for draw in draws]
    concurrency = plan.concurrency
    fastest, slowest = (pick(cost.epoch_s for cost in costs) for pick in (min, max))
    fewest, most = plan.expected_epochs
    trials = max(1, concurrency.trials)
    # Trials beyond one per GPU may only keep the GPU busy.
    unshared = min(trials, concurrency.gpus) if concurrency.share["gpu"] else trials
    setup = plan.spec.trials * max(cost.setup_s for cost in costs) / trials
    low = max(fewest * fastest / trials, plan.epochs * fastest)
    high = max(most * slowest / max(1, unshared), plan.epochs * slowest) + setup
    sizes = {_size_key(draw.config): draw.cost.checkpoint_bytes for draw in draws}
    keys = map(_size_key, _searched_configs(plan))
    return Forecast((low, high), forecast_disk(plan, [sizes[key] for key in keys if key in sizes]))


def _searched_configs(plan: Plan) -> list[TrainConfig]:
    draws = enumerate(plan.draws[:MAX_SEARCHED_DRAWS])
    return [plan.spec.trial_config(values, number) for number, values in draws]


def _size_key(config: TrainConfig, *, floats: bool = True) -> str:
    """Returns a text that is equal for configs whose checkpoints are equally large.

    Args:
        config: The config.
        floats: Whether the text has the values of `float_arguments`.
    """
    data, optimizer = config.to_dict(), config.optimizer
    if not floats:
        data["model"]["args"] |= dict.fromkeys(float_arguments(config))
    has_momentum = not isinstance(optimizer, SGDOptimizer) or optimizer.momentum > 0
    settings = [optimizer.name, optimizer.args, has_momentum]
    return repr([data["dataset"], data["model"], data["ema"], settings])
