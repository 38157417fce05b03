"""What a sweep will cost, from a few batches of its first draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.planning.plan import Plan
from sweeps.space.search_space import Values
from trainable.config import TrainConfig, parse_config
from trainable.profiling.cost import Measured, measure

MOST = 4
"""Draws that are tried."""
LOOKED_AT = 64
"""First draws among which those are sought that cost differently."""
COSTLY = ("dataset", "model", "amp")
"""Sections that decide on what an epoch costs, besides the batches."""


@dataclass(frozen=True)
class Probed:
    """One draw that was tried."""

    number: int
    values: Values
    config: TrainConfig
    measured: Measured


@dataclass(frozen=True)
class Forecast:
    """What the whole sweep takes; at least, and at most."""

    seconds: tuple[float, float]
    """Wall clock. At least: trials that share a card do not slow one another. At most: they gain
    nothing by sharing, and all cost as much as the dearest."""
    disk_bytes: tuple[int, int]
    """Checkpoints. At least: of the epochs that are expected. At most: of all."""


def probe(plan: Plan, *, allow_custom_model: bool = False) -> list[Probed]:
    """Trains a few batches of the first draw, and of others whose model or batches differ.

    Args:
        plan: Of the sweep.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: A draw cannot be trained; it says why.
    """
    share = plan.placement.share
    found = []
    for number, config in chosen(plan):
        cost = measure(
            config,
            gpu=share["gpu"],
            threads=int(share["cpu"]),
            allow_custom_model=allow_custom_model,
        )
        found.append(Probed(number, plan.draws[number], config, cost))
    return found


def chosen(plan: Plan) -> list[tuple[int, TrainConfig]]:
    """The first draw, the one with the largest batches, and then others that cost differently."""
    by_cost: dict[str, tuple[int, TrainConfig]] = {}
    for number, values in enumerate(plan.draws[:LOOKED_AT]):
        config = parse_config(plan.spec.trial_config(values, number))
        by_cost.setdefault(_cost(config), (number, config))
    first, *others = by_cost.values()
    others.sort(key=lambda found: -found[1].training.batch_size)
    largest = others[:1] if others else []
    rest = sorted(others[1:], key=lambda found: found[0])
    return [first, *largest, *rest][:MOST]


def _cost(config: TrainConfig) -> str:
    """What is the same for draws that cost the same."""
    data = config.to_dict()
    parts: list[Any] = [data[section] for section in COSTLY]
    training = config.training
    return repr([*parts, training.batch_size, training.accumulation_steps, config.optimizer.name])


def forecast(plan: Plan, probed: Sequence[Probed]) -> Forecast:
    """What the sweep takes if the draws that were tried stand for all."""
    costs = [each.measured for each in probed]
    place = plan.placement
    fastest, slowest = (pick(cost.epoch_s for cost in costs) for pick in (min, max))
    fewest, most = plan.expected_epochs
    at_once = max(1, place.at_once)
    # Beyond one trial a card, sharing may only keep the card busy.
    alone = min(at_once, place.cards) if place.share["gpu"] else at_once
    setup = plan.spec.trials * max(cost.setup_s for cost in costs) / at_once
    low = max(fewest * fastest / at_once, plan.epochs * fastest)
    high = max(most * slowest / max(1, alone), plan.epochs * slowest) + setup
    return Forecast((low, high), _disk(plan, probed))


def _disk(plan: Plan, probed: Sequence[Probed]) -> tuple[int, int]:
    spec = plan.spec
    keep = spec.keep.trials
    trials = spec.trials if keep == "all" else min(spec.trials, keep + plan.placement.at_once)
    share = plan.expected_epochs[0] / plan.all_epochs
    low, high = (pick(each.measured.checkpoint_bytes for each in probed) for pick in (min, max))
    epochs = round(plan.epochs)
    config = probed[0].config
    few = _files(config, spec.keep.epochs, max(1, round(epochs * share)))
    many = _files(config, spec.keep.epochs, epochs)
    return trials * few * low, trials * many * high


def _files(config: TrainConfig, kept: str | int, epochs: int) -> int:
    """Checkpoint files of one trial that has run so many epochs, names of one file once."""
    checkpoint = config.checkpoint
    if not checkpoint.enabled:
        return 0
    numbered = epochs // checkpoint.save_frequency
    stay = numbered if kept == "all" else min(numbered, int(kept))
    is_numbered = bool(stay) and epochs % checkpoint.save_frequency == 0
    return stay + checkpoint.save_best + (not is_numbered)
