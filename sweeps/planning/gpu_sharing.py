"""`resources.gpu: auto`: how many trials share a card, from what some do at once on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from sweeps.cluster.session import machines, on_a_card
from sweeps.planning.cost import chosen
from sweeps.planning.plan import make_plan
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.console import print_line
from trainable.config import TrainConfig
from trainable.profiling.concurrent import ConcurrencyResult, train_concurrently

AUTO = "resources.gpu auto"
COPIES = (2, 4, 8)
GAIN = 1.1
"""What twice as many copies must train in all, to be worth it."""
MARGIN = 1.1
"""Memory for what a long training takes more than a short one."""

Measure = Callable[[TrainConfig, int], ConcurrencyResult | None]
"""Trains so many copies of a training at once on one card; None where memory does not suffice."""


@dataclass(frozen=True)
class Choice:
    """How many trials share a card."""

    copies: int
    reason: str
    """Why not more."""
    alone: ConcurrencyResult | None = None
    together: ConcurrencyResult | None = None
    """So many as have been chosen."""

    def sentence(self) -> str:
        """What is said of it."""
        text = f"{AUTO} is {1 / self.copies:g}: "
        if self.alone is not None:
            text += f"alone on a card, a trial trains {self.alone.images_per_s:.0f} images/s and "
            text += f"takes {self.alone.process_gib:.1f} of {self.alone.gpu_gib:.1f} GiB; "
        if self.together is not None and self.copies > 1:
            text += f"{self.copies} train {self.together.images_per_s:.0f} images/s in all; "
        return text + self.reason


def settle_gpu(
    spec: SearchSpec, *, allow_custom_model: bool = False
) -> tuple[SearchSpec, str | None]:
    """`settled`, on a card of the cluster."""

    def measure(config: TrainConfig, copies: int) -> ConcurrencyResult | None:
        return on_a_card(partial(measured, spec, config, copies, allow_custom_model))

    found = machines()
    if spec.resources.gpu == "auto" and any(machine.get("GPU") for machine in found):
        print_line(f"{AUTO}: measuring how many trials a card is good for")
    return settled(spec, found, measure)


def measured(
    spec: SearchSpec, config: TrainConfig, copies: int, allow_custom_model: bool
) -> ConcurrencyResult | None:
    """What so many trials with a training config do at once on the first card of this process."""
    return train_concurrently(
        config,
        copies,
        gpu=1 / copies,
        threads=int(spec.resources.cpu),
        allow_custom_model=allow_custom_model,
    )


def settled(
    spec: SearchSpec, machines: Sequence[Mapping[str, float]], measure: Measure
) -> tuple[SearchSpec, str | None]:
    """A search file whose `resources.gpu` is a number, and what is to be said about it.

    Args:
        spec: A checked search file.
        machines: What the sweep is to run on, as Ray names it: `CPU`, `GPU`.
        measure: Called only for `auto`, and only where there are cards.

    Raises:
        ExperimentError: A draw cannot be trained; it says why.
    """
    if spec.resources.gpu != "auto":
        return spec, None
    with_cards = [machine for machine in machines if machine.get("GPU")]
    if not with_cards:
        return _with_gpu(spec, 0.0), f"{AUTO} is 0: there is no GPU"
    choice = _of_dearest(spec, with_cards, measure)
    if choice is None:
        return _with_gpu(spec, 0.0), f"{AUTO} is 0: torch finds no CUDA device"
    return _with_gpu(spec, 1 / choice.copies), choice.sentence()


def _with_gpu(spec: SearchSpec, gpu: float) -> SearchSpec:
    changes: dict[str, Any] = {"gpu": gpu}
    if gpu == 1:
        changes["process"] = "trial"  # nothing to share
    return spec.model_copy(update={"resources": spec.resources.model_copy(update=changes)})


def _of_dearest(
    spec: SearchSpec, machines: Sequence[Mapping[str, float]], measure: Measure
) -> Choice | None:
    """The choice for the draw that takes most memory, of those that cost differently.

    None where what Ray takes for a card is none to torch.
    """
    dearest, most_taken = None, None
    for number, config in chosen(make_plan(spec, machines[0])):
        taken = measure(config, 1)
        if taken is None:
            return Choice(1, f"draw {number} fills a card's memory alone")
        if not taken.gpu_gib:
            return None
        if most_taken is None or taken.process_gib > most_taken.process_gib:
            dearest, most_taken = config, taken
    assert dearest is not None
    assert most_taken is not None
    return choose(most_taken, lambda copies: measure(dearest, copies), _most(spec, machines))


def _most(spec: SearchSpec, machines: Sequence[Mapping[str, float]]) -> int:
    """Trials that there will ever be on one card, by CPUs and by how many run at once."""
    limit = spec.tune.max_concurrent_trials
    at_once = sum(int(machine["CPU"] / spec.resources.cpu + 1e-9) for machine in machines)
    at_once = min(at_once, spec.trials, *([] if limit == "auto" else [limit]))
    return max(1, ceil(at_once / sum(machine["GPU"] for machine in machines)))


def choose(
    alone: ConcurrencyResult, measure: Callable[[int], ConcurrencyResult | None], most: int
) -> Choice:
    """The knee: twice as many copies for as long as they fit and train more in all.

    Args:
        alone: What one does.
        measure: What so many do at once; None where memory does not suffice.
        most: Copies that there will ever be on a card.
    """
    best = alone
    for copies in COPIES:
        if copies > most:
            reason = f"no more than {most} will ever be on one"
        elif alone.process_gib * MARGIN * copies > alone.gpu_gib:
            reason = f"{copies} would not fit into its memory"
        elif (found := measure(copies)) is None:
            reason = f"{copies} did not fit into its memory"
        elif found.images_per_s < GAIN * best.images_per_s:
            reason = f"{copies} no more than {found.images_per_s:.0f}"
        else:
            best = found
            continue
        return Choice(best.copies, reason, alone, best)
    return Choice(best.copies, "more have not been tried", alone, best)
