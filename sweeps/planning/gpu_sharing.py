"""Resolves `resources.gpu: auto`: measures how many trials can share a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from sweeps.cluster.session import machines, run_on_gpu
from sweeps.planning.cost import select_draws
from sweeps.planning.plan import make_plan
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.console import print_line
from trainable.config import TrainConfig
from trainable.profiling.concurrent import ConcurrencyResult, train_concurrently

AUTO = "resources.gpu auto"
COPIES = (2, 4, 8)
"""Numbers of trials per GPU that are measured, in this order."""
MIN_GAIN = 1.1
"""Least ratio of images/s in all that makes twice as many trials worth it."""
MEMORY_MARGIN = 1.1
"""Memory of a long training over that of a short one."""

Measure = Callable[[TrainConfig, int], ConcurrencyResult | None]
"""Trains so many copies of a training concurrently on one GPU; None if its memory is too small."""


@dataclass(frozen=True)
class SharingDecision:
    """How many trials share a GPU."""

    copies: int
    reason: str
    """Why there are not more."""
    alone: ConcurrencyResult | None = None
    together: ConcurrencyResult | None = None
    """Measurement of `copies` trials."""

    def describe(self) -> str:
        """Returns the sentence that is printed about it."""
        text = f"{AUTO} is {1 / self.copies:g}: "
        if self.alone is not None:
            text += f"alone on a GPU, a trial trains {self.alone.images_per_s:.0f} images/s and "
            text += f"takes {self.alone.process_gib:.1f} of {self.alone.gpu_gib:.1f} GiB; "
        if self.together is not None and self.copies > 1:
            text += f"{self.copies} train {self.together.images_per_s:.0f} images/s in all; "
        return text + self.reason


def resolve_gpu_on_cluster(
    spec: SearchSpec, *, allow_custom_model: bool = False
) -> tuple[SearchSpec, str | None]:
    """Calls `resolve_gpu` with measurements on a GPU of the cluster."""

    def measure(config: TrainConfig, copies: int) -> ConcurrencyResult | None:
        return run_on_gpu(partial(measure_copies, spec, config, copies, allow_custom_model))

    cluster = machines()
    if spec.resources.gpu == "auto" and any(machine.get("GPU") for machine in cluster):
        print_line(f"{AUTO}: measuring how many trials can share a GPU")
    return resolve_gpu(spec, cluster, measure)


def measure_copies(
    spec: SearchSpec, config: TrainConfig, copies: int, allow_custom_model: bool
) -> ConcurrencyResult | None:
    """Trains so many copies of a training concurrently on the first GPU of this process."""
    return train_concurrently(
        config,
        copies,
        gpu=1 / copies,
        threads=int(spec.resources.cpu),
        allow_custom_model=allow_custom_model,
    )


def resolve_gpu(
    spec: SearchSpec, machines: Sequence[Mapping[str, float]], measure: Measure
) -> tuple[SearchSpec, str | None]:
    """Replaces `resources.gpu: auto` by a number.

    Args:
        spec: A checked search file.
        machines: The machines that the sweep runs on, under Ray's names: `CPU`, `GPU`.
        measure: Called only for `auto`, and only if there are GPUs.

    Returns:
        The search file and a sentence about the number; None if it was not `auto`.

    Raises:
        ExperimentError: A draw cannot be trained; the message says why.
    """
    if spec.resources.gpu != "auto":
        return spec, None
    gpu_machines = [machine for machine in machines if machine.get("GPU")]
    if not gpu_machines:
        return _replace_gpu(spec, 0.0), f"{AUTO} is 0: there is no GPU"
    decision = _measure_largest_draw(spec, gpu_machines, measure)
    if decision is None:
        return _replace_gpu(spec, 0.0), f"{AUTO} is 0: torch finds no CUDA device"
    return _replace_gpu(spec, 1 / decision.copies), decision.describe()


def _replace_gpu(spec: SearchSpec, gpu: float) -> SearchSpec:
    changes: dict[str, Any] = {"gpu": gpu}
    if gpu == 1:
        changes["process"] = "trial"  # no other trial on the GPU to share a process with
    return spec.model_copy(update={"resources": spec.resources.model_copy(update=changes)})


def _measure_largest_draw(
    spec: SearchSpec, machines: Sequence[Mapping[str, float]], measure: Measure
) -> SharingDecision | None:
    """Decides for the draw that takes most memory, among draws that differ in cost.

    Returns:
        None if torch finds no CUDA device although Ray counts a GPU.
    """
    largest_config, largest = None, None
    for number, config in select_draws(make_plan(spec, machines[0])):
        result = measure(config, 1)
        if result is None:
            return SharingDecision(1, f"draw {number} fills a GPU's memory alone")
        if not result.gpu_gib:
            return None
        if largest is None or result.process_gib > largest.process_gib:
            largest_config, largest = config, result
    assert largest_config is not None
    assert largest is not None
    most = _max_trials_per_gpu(spec, machines)
    return decide_sharing(largest, lambda copies: measure(largest_config, copies), most)


def _max_trials_per_gpu(spec: SearchSpec, machines: Sequence[Mapping[str, float]]) -> int:
    """Most trials that can be on one GPU, given the CPUs and the limit on concurrent trials."""
    limit = spec.tune.max_concurrent_trials
    trials = sum(int(machine["CPU"] / spec.resources.cpu + 1e-9) for machine in machines)
    trials = min(trials, spec.trials, *([] if limit == "auto" else [limit]))
    return max(1, ceil(trials / sum(machine["GPU"] for machine in machines)))


def decide_sharing(
    alone: ConcurrencyResult, measure: Callable[[int], ConcurrencyResult | None], most: int
) -> SharingDecision:
    """Doubles the number of copies for as long as they fit and train more images/s in all.

    Args:
        alone: The measurement of one copy.
        measure: Measures a number of copies; returns None if the GPU's memory is too small.
        most: Largest number of copies that can be on a GPU.
    """
    best = alone
    for copies in COPIES:
        if copies > most:
            reason = f"at most {most} can run on one"
        elif alone.process_gib * MEMORY_MARGIN * copies > alone.gpu_gib:
            reason = f"{copies} would not fit into its memory"
        elif (result := measure(copies)) is None:
            reason = f"{copies} did not fit into its memory"
        elif result.images_per_s < MIN_GAIN * best.images_per_s:
            reason = f"{copies} only {result.images_per_s:.0f}"
        else:
            best = result
            continue
        return SharingDecision(best.copies, reason, alone, best)
    return SharingDecision(best.copies, "more were not tried", alone, best)
