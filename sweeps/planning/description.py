"""Describes a plan: as lines of text, as a table of its probes and as plain values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from rich.table import Table

from sweeps.planning.cost import Forecast, ProbedDraw, predict_disk
from sweeps.planning.disk import DiskForecast
from sweeps.planning.plan import Plan, first_configs
from sweeps.spec.schedulers import PB2, PBT
from sweeps.terminal.formatting import (
    count_of,
    format_duration,
    format_size,
    format_value,
    make_table,
)
from trainable.errors import DataError, TuneSweepsError
from trainable.features.sharing import describe_sharing, uses_features
from trainable.inspection.summary import summarize_data

MAX_DRAWS_SHOWN = 5
"""Draws whose values and training configs are described."""


def describe_plan(plan: Plan) -> Iterator[str]:
    """Yields the lines that describe a plan: the details of draws, and then what they sum up to.

    A terminal shows the end of a long output.
    """
    tune = plan.spec.tune
    yield _describe_draws(plan)
    for number, values in enumerate(plan.draws[:MAX_DRAWS_SHOWN]):
        text = ", ".join(f"{key}: {format_value(value)}" for key, value in values.items())
        yield f"  {number}  {text or '(only the seed differs)'}"
    if tune.num_samples > MAX_DRAWS_SHOWN:
        yield "  ..."
    yield from _describe_configs(plan)
    yield ""
    yield _describe_trials(plan)
    yield from (f"data: {line}" for line in summarize(plan))
    yield f"scheduler {tune.scheduler.name}: {_describe_rungs(plan)}"
    yield f"epochs: {_describe_epochs(plan)}"
    yield f"concurrent trials: {_describe_concurrency(plan)}"
    yield from _describe_features(plan)
    if tune.time_budget is not None:
        yield f"time budget: the sweep is paused after {format_duration(tune.time_budget)}"


def _describe_trials(plan: Plan) -> str:
    spec, tune = plan.spec, plan.spec.tune
    folds = ", each with another fold" if spec.repeats_folds else ""
    repeats = f" x {tune.repeats} repeats{folds}" if tune.repeats > 1 else ""
    finals = f" + {plan.finals} final" if plan.finals else ""
    configurations = count_of(tune.num_samples, "configuration")
    return f"{configurations}{repeats}{finals}: {count_of(spec.trials, 'trial')}"


def summarize(plan: Plan) -> list[str]:
    """Returns lines on the data of the first draw; `sweep data` says more."""
    try:
        return list(summarize_data(first_configs(plan, 1)[0]))
    except DataError as error:
        return [f"unknown: {error}"]


def _describe_configs(plan: Plan) -> Iterator[str]:
    """Yields the training config of the first draw, and what differs in the next ones."""
    first, *others = [config.to_dict() for config in first_configs(plan, MAX_DRAWS_SHOWN)]
    yield "training config of draw 0:"
    for section, keys in first.items():
        yield f"  {section}: {_to_yaml_line(keys)}"
    for number, config in enumerate(others, start=1):
        changed = {section: keys for section, keys in config.items() if keys != first[section]}
        difference = "the same except" if changed else "the same"
        yield f"training config of draw {number}: {difference}"
        for section, keys in changed.items():
            yield f"  {section}: {_to_yaml_line(keys)}"


def _to_yaml_line(keys: Any) -> str:
    line: str = yaml.safe_dump(keys, default_flow_style=True, sort_keys=False, width=sys.maxsize)
    return line.strip()


def _describe_draws(plan: Plan) -> str:
    tune = plan.spec.tune
    name, fixed = tune.search_alg.name, plan.fixed_draws
    if fixed == tune.num_samples:
        return f"draws by {name}; none depends on results of trials"
    if tune.warm_start is not None:
        return f"draws by {name}, as they would be without warm_start"
    first = "first one" if fixed == 1 else f"first {fixed}"
    return f"draws by {name}; all after the {first} depend on results of trials"


def _describe_rungs(plan: Plan) -> str:
    rungs, epochs = plan.expectation.rungs, plan.spec.max_epochs
    scheduler = plan.spec.tune.scheduler
    if isinstance(scheduler, PBT | PB2):
        interval, share = scheduler.perturbation_interval, scheduler.quantile_fraction
        return (
            f"every trial has {epochs} epochs; every {interval} epochs the worst {share:.0%} may "
            f"copy the best {share:.0%}"
        )
    if not rungs:
        return f"no trial ends before its {epochs} epochs"
    if plan.expectation.low < plan.expectation.high:
        return f"trials may end from epoch {rungs[0].epoch} on"
    steps = [f"{_round(rung.trials)} trials reach epoch {rung.epoch}" for rung in rungs]
    return f"expected: {', '.join(steps)}, {_round(plan.expectation.finished)} the last epoch"


def _round(trials: float) -> str:
    """Returns an expected number of trials: `16`, `6.8`."""
    return f"{trials:.1f}".removesuffix(".0")


def _describe_epochs(plan: Plan) -> str:
    low, high = plan.expected_epochs
    maximum = plan.all_epochs
    if low == high == maximum:
        text = f"{maximum:.0f}"
    elif low == high:
        text = (
            f"{low:.0f} of {maximum:.0f} ({low / maximum:.0%}) are expected; more if trials "
            "overtake one another"
        )
    else:
        text = f"{low:.0f} to {high:.0f}, depending on the learning curves"
    tune = plan.spec.tune
    if tune.target is not None:
        text += f"; fewer if {tune.metric} reaches {tune.target:g}"
    return text


def _describe_features(plan: Plan) -> Iterator[str]:
    """Yields a line where trials share the features of a frozen backbone."""
    swept = dict.fromkeys(key for values in plan.draws for key in values)
    lines = (describe_sharing(config, swept) for config in first_configs(plan, MAX_DRAWS_SHOWN))
    yield from dict.fromkeys(line for line in lines if line is not None)


def _describe_concurrency(plan: Plan) -> str:
    concurrency, resources = plan.concurrency, plan.spec.resources
    gpus = count_of(concurrency.gpus, "GPU") if concurrency.gpus else "no GPU"
    cpus = count_of(concurrency.cpus, "CPU")
    is_cluster = bool(os.environ.get("RAY_ADDRESS"))
    note = "; the cluster in RAY_ADDRESS is not considered" if is_cluster else ""
    share = count_of(concurrency.share["cpu"], "CPU")
    if resources.gpu == "auto":
        source = "measured when the sweep starts" if concurrency.gpus else "0 without a GPU"
        share += " and at most 1 GPU" * bool(concurrency.gpus)
        share += f" (resources.gpu auto: {source})"
    elif concurrency.share["gpu"]:
        share += f" and {count_of(concurrency.share['gpu'], 'GPU')}"
    elif resources.gpu:
        share += f" (resources.gpu {resources.gpu:g} counts as 0)"
    if not concurrency.trials:
        return f"none; a trial needs {share}, this machine has {cpus} and {gpus}{note}"
    per_gpu = concurrency.trials_per_gpu or 1
    sharing = f", {per_gpu} per GPU" if per_gpu > 1 else ""
    minimum = "at least " if resources.gpu == "auto" and concurrency.gpus else ""
    machine = f"this machine ({cpus}, {gpus})"
    return f"{minimum}{concurrency.trials}{sharing}, each with {share}, on {machine}{note}"


def describe_cost(probed: list[ProbedDraw]) -> Table:
    """Returns a table of what the probed draws cost."""
    table = make_table("draw", "model", "batch", "parameters", "s/epoch", "GiB", "checkpoint")
    for draw in probed:
        table.add_row(
            str(draw.number),
            draw.config.model.name,
            str(draw.config.training.batch_size),
            f"{draw.cost.parameters:,}",
            f"{draw.cost.epoch_s:.3g}",
            f"{draw.cost.peak_memory_gib:.2f}",
            format_size(draw.cost.checkpoint_bytes),
        )
    device = probed[0].cost.device
    table.caption = f"on {device}, one trial alone"
    if device == "cpu":
        table.caption += "; GiB of the whole process"
    if any(uses_features(d.config) and not d.config.augment.mixes for d in probed):
        table.caption += (
            "; the frozen backbone was run for every batch, trials store its features: they need "
            "less time and memory than shown"
        )
    return table


def describe_time(cost: Forecast | None) -> str:
    """Returns the range of the sweep's expected wall-clock time."""
    if cost is None:
        return "unknown; --probe estimates it"
    least, most = map(format_duration, cost.seconds)
    return f"{least} to {most}"


def estimate_disk(
    plan: Plan, cost: Forecast | None, *, allow_custom_model: bool
) -> tuple[DiskForecast | None, str]:
    """Returns the disk space of the checkpoints and its text; None if it is unknown."""
    if not plan.spec.training.checkpoint.enabled:
        return DiskForecast(0, 0, 0), "no checkpoints; checkpoint.enabled is false"
    if cost is not None:
        disk = cost.disk
    else:
        try:
            disk = predict_disk(plan, allow_custom_model=allow_custom_model)
        except TuneSweepsError as error:
            return None, f"unknown: {error}"
    least, most, peak = map(format_size, (disk.low, disk.high, disk.peak))
    text = f"about {least if least == most else f'{least} to {most}'} of checkpoints"
    return disk, text + (f", up to {peak} while it runs" if disk.peak > disk.high else "")


def plan_values(
    plan: Plan,
    probed: list[ProbedDraw] | None,
    cost: Forecast | None,
    disk: DiskForecast | None,
    written: int | None,
) -> dict[str, Any]:
    """Returns the plan as plain values: the output of `sweep plan --json`."""
    spec, concurrency = plan.spec, plan.concurrency
    return {
        "name": spec.name,
        "configurations": spec.tune.num_samples,
        "repeats": spec.tune.repeats,
        "finals": plan.finals,
        "trials": spec.trials,
        "known_draws": plan.fixed_draws,
        "draws": plan.draws,
        "data": summarize(plan),
        "configs": [config.to_dict() for config in first_configs(plan, MAX_DRAWS_SHOWN)],
        "rungs": [vars(rung) for rung in plan.expectation.rungs],
        "epochs_a_trial": plan.epochs,
        "all_epochs": plan.all_epochs,
        "expected_epochs": plan.expected_epochs,
        "machine": {"cpus": concurrency.cpus, "cards": concurrency.gpus},
        "gpu": spec.resources.gpu,
        "share": concurrency.share,
        "at_once": concurrency.trials,
        "per_card": concurrency.trials_per_gpu,
        "probe": probed
        and [{"draw": p.number, "values": p.values, **vars(p.cost)} for p in probed],
        "seconds": cost and cost.seconds,
        "disk_bytes": disk and (disk.low, disk.high),
        "disk_peak_bytes": disk and disk.peak,
        "written": written,
    }
