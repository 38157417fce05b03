"""The command that shows what a sweep will do before it starts: plan."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, AS_JSON, FINISHED, SET_IN_SEARCH, exits
from sweeps.cli.validate import check_sampler_of_optuna, check_warm_start
from sweeps.terminal.console import print_json, print_line, print_table
from sweeps.terminal.formatting import (
    format_duration,
    format_size,
    format_value,
    make_table,
    quote_path,
)
from trainable.errors import TuneSweepsError

if TYPE_CHECKING:
    from sweeps.planning.cost import Forecast, ProbedDraw
    from sweeps.planning.plan import Plan

MAX_DRAWS_SHOWN = 5
"""Draws whose values and training configs are printed."""


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@SET_IN_SEARCH
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Train a few batches of the first draws on this machine to estimate time and memory.",
)
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the training config of every draw that is already known, for python -m trainable.",
)
@AS_JSON
@ALLOW_CUSTOM_MODEL
@exits
def plan(
    search_file: Path,
    assignments: tuple[str, ...],
    probes: bool,
    target: Path | None,
    as_json: bool,
    allow_custom_model: bool,
) -> int:
    """Shows what a sweep will do before it starts.

    Prints the number of trials, the first draws and their training configs, the epochs at which
    the scheduler stops trials, the concurrent trials and the disk space of the sweep that
    SEARCH_FILE describes.

    Example: sweep plan configs/search.yaml --probe
    """
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments

    spec = load_search(search_file, parse_assignments(assignments))
    check_warm_start(spec)
    check_sampler_of_optuna(spec)
    from sweeps.cluster.placement import this_machine
    from sweeps.planning.plan import make_plan, write_configs

    machine, probed, cost, gpu_decision = this_machine(), None, None, None
    if probes:
        from sweeps.planning.gpu_sharing import measure_copies, resolve_gpu
        from trainable.profiling.cost import gpu_count

        machine["GPU"] = float(gpu_count())
        measure = partial(measure_copies, spec, allow_custom_model=allow_custom_model)
        spec, gpu_decision = resolve_gpu(spec, [machine], measure)
    plan = make_plan(spec, machine)
    if probes:
        from sweeps.planning.cost import forecast, probe

        probed = probe(plan, allow_custom_model=allow_custom_model)
        cost = forecast(plan, probed)
    disk, disk_text = _estimate_disk(plan, cost, allow_custom_model)
    written = None if target is None else write_configs(plan, target)
    if as_json:
        print_json(_plan_values(plan, probed, cost, disk, written))
        return FINISHED
    _print_plan(plan)
    if gpu_decision is not None:
        print_line(gpu_decision)
    _print_cost(probed, cost)
    print_line(f"disk: {disk_text}")
    if target is not None:
        configs = f"{quote_path(target)}/..."
        print_line(f"wrote {written} training configs; train one: python -m trainable {configs}")
    return FINISHED


def _estimate_disk(
    plan: Plan, cost: Forecast | None, allow_custom_model: bool
) -> tuple[tuple[int, int] | None, str]:
    """Returns ((least, most) bytes of checkpoints, text); no bytes if they are unknown."""
    if not plan.spec.training.checkpoint.enabled:
        return (0, 0), "no checkpoints; checkpoint.enabled is false"
    if cost is not None:
        low, high = cost.disk_bytes
    else:
        from sweeps.planning.cost import predict_disk_bytes

        try:
            low, high = predict_disk_bytes(plan, allow_custom_model=allow_custom_model)
        except TuneSweepsError as error:
            return None, f"unknown: {error}"
    least, most = format_size(low), format_size(high)
    return (low, high), f"{least if least == most else f'{least} to {most}'} of checkpoints"


def _print_plan(plan: Plan) -> None:
    spec, tune = plan.spec, plan.spec.tune
    repeats = f" x {tune.repeats} repeats" if tune.repeats > 1 else ""
    finals = f" + {plan.finals} final" if plan.finals else ""
    configurations = _count(tune.num_samples, "configuration")
    print_line(f"{configurations}{repeats}{finals}: {_count(spec.trials, 'trial')}")
    print_line(_describe_draws(plan))
    for number, values in enumerate(plan.draws[:MAX_DRAWS_SHOWN]):
        text = ", ".join(f"{key}: {format_value(value)}" for key, value in values.items())
        print_line(f"  {number}  {text or '(only the seed differs)'}")
    if tune.num_samples > MAX_DRAWS_SHOWN:
        print_line("  ...")
    _print_configs(plan)
    print_line(f"scheduler {tune.scheduler.name}: {_describe_rungs(plan)}")
    print_line(f"epochs: {_describe_epochs(plan)}")
    print_line(f"concurrent trials: {_describe_concurrency(plan)}")
    if tune.time_budget is not None:
        print_line(f"time budget: the sweep is paused after {format_duration(tune.time_budget)}")


def _print_configs(plan: Plan) -> None:
    """Prints the training config of the first draw, and the sections that differ in the next."""
    from sweeps.planning.plan import first_configs

    first, *others = [config.to_dict() for config in first_configs(plan, MAX_DRAWS_SHOWN)]
    print_line("training config of draw 0:")
    for section, keys in first.items():
        print_line(f"  {section}: {_to_yaml_line(keys)}")
    for number, config in enumerate(others, start=1):
        changed = {section: keys for section, keys in config.items() if keys != first[section]}
        difference = "the same except" if changed else "the same"
        print_line(f"training config of draw {number}: {difference}")
        for section, keys in changed.items():
            print_line(f"  {section}: {_to_yaml_line(keys)}")


def _to_yaml_line(keys: Any) -> str:
    import yaml

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
    from sweeps.spec.schedulers import PB2, PBT

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
    steps = [f"{rung.trials:.1f} trials reach epoch {rung.epoch}" for rung in rungs]
    return f"expected: {', '.join(steps)}, {plan.expectation.finished:.1f} the last one"


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


def _describe_concurrency(plan: Plan) -> str:
    concurrency, resources = plan.concurrency, plan.spec.resources
    gpus = _count(concurrency.gpus, "GPU") if concurrency.gpus else "no GPU"
    cpus = _count(concurrency.cpus, "CPU")
    is_cluster = bool(os.environ.get("RAY_ADDRESS"))
    note = "; the cluster in RAY_ADDRESS is not considered" if is_cluster else ""
    share = _count(concurrency.share["cpu"], "CPU")
    if resources.gpu == "auto":
        source = "measured when the sweep starts" if concurrency.gpus else "0 without a GPU"
        share += " and at most 1 GPU" * bool(concurrency.gpus)
        share += f" (resources.gpu auto: {source})"
    elif concurrency.share["gpu"]:
        share += f" and {_count(concurrency.share['gpu'], 'GPU')}"
    elif resources.gpu:
        share += f" (resources.gpu {resources.gpu:g} counts as 0)"
    if not concurrency.trials:
        return f"none; a trial needs {share}, this machine has {cpus} and {gpus}{note}"
    per_gpu = concurrency.trials_per_gpu or 1
    sharing = f", {per_gpu} per GPU" if per_gpu > 1 else ""
    minimum = "at least " if resources.gpu == "auto" and concurrency.gpus else ""
    machine = f"this machine ({cpus}, {gpus})"
    return f"{minimum}{concurrency.trials}{sharing}, each with {share}, on {machine}{note}"


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


def _print_cost(probed: list[ProbedDraw] | None, cost: Forecast | None) -> None:
    if probed is None or cost is None:
        print_line("time: unknown; --probe estimates it")
        return
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
    print_table(table)
    print_line(f"time: {format_duration(cost.seconds[0])} to {format_duration(cost.seconds[1])}")


def _plan_values(
    plan: Plan,
    probed: list[ProbedDraw] | None,
    cost: Forecast | None,
    disk: tuple[int, int] | None,
    written: int | None,
) -> dict[str, Any]:
    """Returns the plan as plain values: the output of `sweep plan --json`."""
    from sweeps.planning.plan import first_configs

    spec, concurrency = plan.spec, plan.concurrency
    return {
        "name": spec.name,
        "configurations": spec.tune.num_samples,
        "repeats": spec.tune.repeats,
        "finals": plan.finals,
        "trials": spec.trials,
        "known_draws": plan.fixed_draws,
        "draws": plan.draws,
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
        "disk_bytes": disk,
        "written": written,
    }
